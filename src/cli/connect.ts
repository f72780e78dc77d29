/** Who talks to which cluster: the options that all client commands share. */
import { userInfo } from 'node:os'
import { type Command, Option } from 'commander'
import { LensClient } from '../client/index.ts'
import { UsageError } from './exit-codes.ts'
import { askSecret, secretOfFile } from './secrets.ts'
import type { Terminal } from './terminal.ts'
import { trustAlso } from './trust.ts'

export const defaultServer = 'http://127.0.0.1:9999'

export interface ConnectOptions {
  readonly server?: string
  readonly user?: string
  readonly token?: string
  readonly passwordFile?: string
  readonly jwtFile?: string
  readonly ca?: string
}

export function withConnectOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '-s, --server <urls>',
        `nodes or proxies, separated by commas (default: LENS_SERVER, or ${defaultServer})`,
      ),
    )
    .addOption(new Option('-u, --user <name>', 'open a session for this user (default: LENS_USER, or your own name)'))
    .addOption(new Option('--password-file <file>', 'file of your password (default: LENS_PASSWORD, or a question)'))
    .addOption(new Option('--jwt-file <file>', 'file of a token of your identity provider (default: LENS_JWT)'))
    .addOption(new Option('--token <token>', 'use this open session and leave it open (default: LENS_TOKEN)'))
    .addOption(new Option('--ca <file>', 'believe certificates of these authorities too, PEM (default: LENS_CA)'))
}

export interface SessionOptions {
  readonly database?: string
  readonly properties?: Readonly<Record<string, string>>
}

export function connect(terminal: Terminal, options: ConnectOptions, session: SessionOptions = {}): LensClient {
  const { env } = terminal
  const ca = options.ca ?? (env.LENS_CA || undefined)
  if (ca !== undefined) trustAlso(ca, options.ca === undefined ? 'LENS_CA' : '--ca')
  const servers = options.server ?? (env.LENS_SERVER || defaultServer)
  const endpoints = servers
    .split(',')
    .map(server => server.trim())
    .filter(server => server !== '')
    .map(server => (/^https?:\/\//.test(server) ? server : `http://${server}`))
  const wrong = endpoints.find(endpoint => !URL.canParse(endpoint))
  if (wrong !== undefined || endpoints.length === 0)
    throw new UsageError(`--server: "${servers}" is not a list of URLs`)
  // A user named on the command line means a session of theirs, whatever the environment holds.
  const token = options.token ?? (options.user === undefined ? env.LENS_TOKEN || undefined : undefined)
  const user = token === undefined ? (options.user ?? (env.LENS_USER || ownName())) : undefined
  if (token !== undefined && (session.database !== undefined || session.properties !== undefined)) {
    throw new UsageError('--database and --property are for a new session: leave out --token and LENS_TOKEN')
  }
  return new LensClient({
    endpoints,
    user: hasToken(terminal, options) ? undefined : user,
    token,
    authorization: () => authorizationOf(terminal, options, endpoints, user ?? ''),
    ...session,
    discover: true,
    retry: { firstContactMs: 5_000 },
  })
}

const askMs = 5_000

function hasToken({ env }: Terminal, { jwtFile }: ConnectOptions): boolean {
  return jwtFile !== undefined || Boolean(env.LENS_JWT)
}

/** What signs in: as given, or asked for where the nodes want a password and somebody is there to type it. */
async function authorizationOf(
  terminal: Terminal,
  options: ConnectOptions,
  endpoints: readonly string[],
  user: string,
): Promise<string | undefined> {
  const { env } = terminal
  const { passwordFile, jwtFile } = options
  const basic = (password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  if (jwtFile !== undefined) return `Bearer ${secretOfFile(jwtFile)}`
  if (passwordFile !== undefined) return basic(secretOfFile(passwordFile))
  if (env.LENS_JWT) return `Bearer ${env.LENS_JWT}`
  if (env.LENS_PASSWORD) return basic(env.LENS_PASSWORD)
  if (!terminal.keyed || (await methodOf(endpoints)) !== 'basic') return undefined
  return basic(await askSecret(terminal, `Password of ${user}: `))
}

/** How the nodes know their users; undefined: none of them answers, which the call itself finds out and says. */
async function methodOf(endpoints: readonly string[]): Promise<string | undefined> {
  for (const endpoint of endpoints) {
    try {
      const answer = await fetch(new URL('/api/v1/auth', endpoint), { signal: AbortSignal.timeout(askMs) })
      if (answer.ok) return ((await answer.json()) as { method: string }).method
    } catch {
      // The next one may know.
    }
  }
  return undefined
}

/** Opens a client, hands it over, and closes it (and the session that it opened) whatever happens. */
export async function withClient<T>(
  terminal: Terminal,
  options: ConnectOptions,
  use: (client: LensClient) => Promise<T>,
  session: SessionOptions = {},
): Promise<T> {
  const client = connect(terminal, options, session)
  let result: T
  try {
    result = await use(client)
  } catch (error) {
    // The first failure is the one to tell; that the session could not be closed follows from it more often than not.
    await client.close().catch(() => {})
    throw error
  }
  await client.close()
  return result
}

function ownName(): string {
  try {
    return userInfo().username
  } catch {
    return 'anonymous'
  }
}
