/** `lens user`: who may sign in with `auth.method: basic`. */
import { readFile } from 'node:fs/promises'
import { type Command, Option } from 'commander'
import { systemRandom } from '../../async/index.ts'
import { changeUser, hashOfPassword, isUserName, parseUsers, UsersFileFault } from '../../auth/index.ts'
import { loadConfig } from '../../config/index.ts'
import { exitCodes, UsageError } from '../exit-codes.ts'
import { askSecret } from '../secrets.ts'
import type { Terminal } from '../terminal.ts'
import type { Run } from './query.ts'

interface Options {
  readonly file?: string
  readonly config?: string
}

const charactersMin = 8

export function addUserCommands(program: Command, terminal: Terminal, run: Run): void {
  const user = program.command('user').description('Users and passwords, for nodes with auth.method: basic.')
  const command = (usage: string, description: string) =>
    user
      .command(usage)
      .description(description)
      .addOption(new Option('--file <file>', 'the users file (default: auth.usersFile of the configuration)'))
      .addOption(new Option('-c, --config <file>', 'YAML file (default: LENS_CONFIG)'))

  command('add <name>', 'Add a user, or give one another password; asks for it, or reads the first line of its input.')
    .addHelpText('after', '\nExample:\n  $ npx lens user add ada --file users\n')
    .action((name: string, options: Options) =>
      run(async () => {
        if (!isUserName(name))
          throw new UsageError('expected a name of 1 to 128 printable characters without colon and #')
        const file = fileOf(terminal, options)
        const password = await askSecret(terminal, `Password of ${name}: `)
        if ([...password].length < charactersMin)
          throw new UsageError(`expected a password of at least ${charactersMin} characters`)
        if (terminal.keyed && password !== (await askSecret(terminal, 'Once more: ')))
          throw new UsageError('the two are not the same')
        const hash = await hashOfPassword(password, systemRandom)
        const known = await withFaults(file, () => changeUser(file, name, hash))
        await terminal.out(known ? `${name} has another password now.\n` : `${name} may sign in now.\n`)
        return exitCodes.success
      }),
    )

  command('remove <name>', 'Remove a user. Sessions that are open stay open: lens sessions lists them.').action(
    (name: string, options: Options) =>
      run(async () => {
        const file = fileOf(terminal, options)
        if (!(await withFaults(file, () => changeUser(file, name, null))))
          throw new UsageError(`there is no user ${name}`)
        await terminal.out(`${name} may not sign in any more.\n`)
        return exitCodes.success
      }),
  )

  command('list', 'List the users.').action((options: Options) =>
    run(async () => {
      const file = fileOf(terminal, options)
      const users = await withFaults(file, async () => parseUsers(await readFile(file, 'utf8')))
      await terminal.out([...users.keys()].map(name => `${name}\n`).join(''))
      return exitCodes.success
    }),
  )
}

function fileOf(terminal: Terminal, { file, config }: Options): string {
  if (file !== undefined) return file
  const { usersFile } = loadConfig({ env: terminal.env, file: config, makeSecret: false }).auth
  if (usersFile === undefined) throw new UsageError('expected --file, or auth.usersFile in the configuration')
  return usersFile
}

async function withFaults<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (error instanceof UsersFileFault) throw new UsageError(`${file}: ${error.message}`)
    if (code !== undefined) throw new UsageError(`${file} cannot be read or written (${code})`)
    throw error
  }
}
