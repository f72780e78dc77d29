/**
 * The package as a stranger gets it: packed from the sources, installed from the tarball into an empty folder, run by `npx`. It holds
 * compiled JavaScript, because Node strips no types below `node_modules`; threads and engine processes must find their compiled
 * files as well, which only a query shows.
 */
import { cpSync, existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { temporaryFolder } from '../support/folders.ts'
import { freePort } from '../support/ports.ts'
import { runProcess, startProcess, withoutLens } from '../support/processes.ts'
import { root } from './sources.ts'

/** The environment of somebody who never saw this project: none of its programs in PATH, no variable of npm's or ours. */
function strangersEnvironment(): NodeJS.ProcessEnv {
  const PATH = (process.env.PATH ?? '')
    .split(delimiter)
    .filter(folder => !folder.includes('node_modules'))
    .join(delimiter)
  const env = Object.entries(withoutLens(process.env)).filter(
    ([name]) => !/^(npm_(?!config_(registry|cache))|NODE_|INIT_CWD)/i.test(name),
  )
  return { ...Object.fromEntries(env), PATH }
}

/** Runs a command to its success and gives what it wrote. */
async function run(
  t: ExecutionContext,
  cwd: string,
  command: string,
  args: readonly string[],
  env = strangersEnvironment(),
) {
  const { code, out, err } = await runProcess(t, command, args, { cwd, env })
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${out}\n${err}`)
  return out
}

/** Packs a copy of the project, so that no build of a parallel run is in the way, and none is left behind. */
async function packed(t: ExecutionContext): Promise<string> {
  const copy = await temporaryFolder(t, 'pack')
  const entries = [
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'src',
    'config',
    'docs',
    'LICENSE',
    'NOTICE',
    'README.md',
    'CHANGELOG.md',
  ]
  for (const entry of entries.filter(name => existsSync(join(root, name))))
    cpSync(join(root, entry), join(copy, entry), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  const env = { ...strangersEnvironment(), PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}` }
  const [report] = JSON.parse(await run(t, copy, 'npm', ['pack', '--json', '--silent'], env)) as {
    filename: string
    files: { path: string }[]
  }[]
  const paths = report?.files.map(file => file.path) ?? []
  t.deepEqual(
    paths.filter(path => path.endsWith('.ts') && !path.endsWith('.d.ts')),
    [],
    'no source that Node would refuse',
  )
  t.deepEqual(
    paths.filter(path => /^(test|docker|\.ci)\//.test(path)),
    [],
  )
  for (const path of [
    'LICENSE',
    'NOTICE',
    'src/bin.js',
    'dist/main.js',
    'dist/client/index.d.ts',
    'dist/console/index.html',
    'dist/sbom.cdx.json',
  ])
    t.true(paths.includes(path), path)
  return join(copy, report?.filename as string)
}

test('packed, installed in an empty folder, and used', async t => {
  const tarball = await packed(t)
  const folder = await temporaryFolder(t, 'stranger')
  writeFileSync(join(folder, 'package.json'), '{"private": true, "type": "module"}')
  await run(t, folder, 'npm', ['install', tarball, '--prefer-offline', '--no-audit', '--no-fund'])

  t.regex(await run(t, folder, 'npx', ['--no-install', 'lens', '--help']), /serve/)
  await run(t, folder, 'npx', ['--no-install', 'lens', 'config', 'check'])
  t.throws(() => statSync(join(folder, 'data')), { code: 'ENOENT' }, 'a check makes nothing')

  // The launcher finds Node 24 by itself where PATH has an older one, or this very one.
  const launcher = join(folder, 'node_modules/.bin/lens')
  t.true((statSync(launcher).mode & 0o111) !== 0)
  t.regex(await run(t, folder, launcher, ['--help']), /serve/)

  // A node of compiled code: its heartbeat is a thread, its engine a process, its rows come from the packages' sample data.
  const port = await freePort()
  const env = { ...strangersEnvironment(), LENS_PORT: String(port) }
  const node = startProcess(t, launcher, ['serve'], { cwd: folder, env, detached: true })
  const ended = node.exited.then(exit => {
    throw new Error(`the node ended (${JSON.stringify(exit)}):\n${node.out}\n${node.err}`)
  })
  ended.catch(() => {})
  const server = `http://127.0.0.1:${port}`
  const ready = async () => {
    while (
      !(await fetch(`${server}/readyz`).then(
        answer => answer.ok,
        () => false,
      ))
    )
      await new Promise(resolve => setTimeout(resolve, 50))
  }
  await Promise.race([ready(), ended])
  const page = await fetch(`${server}/`)
  t.is(page.status, 200)
  const [script = ''] = /\/assets\/[\w.-]+\.js/.exec(await page.text()) ?? []
  t.is((await fetch(`${server}${script}`)).status, 200, 'the console is in the package')
  const query = [
    'query',
    'select count(*) as n from flights',
    '--format',
    'json',
    '--server',
    server,
    '--user',
    'stranger',
  ]
  t.regex(await run(t, folder, 'npx', ['--no-install', 'lens', ...query]), /3000000/)
  node.signal('SIGTERM')
  await node.exited
  t.is(node.ended?.code, 0, node.out + node.err)

  // The client library, as a strict TypeScript project sees it.
  writeFileSync(
    join(folder, 'program.ts'),
    `import { LensClient } from 'lens-ha/client'
const client: LensClient = new LensClient({ endpoints: ['${server}'] })
export async function rows(): Promise<unknown[]> {
  const found: unknown[] = []
  for await (const row of client.query('select 1')) found.push(row)
  return found
}
// @ts-expect-error: what is wrong is refused, so the types are there and not all \`any\`.
client.noSuchMethod()
`,
  )
  const settings = {
    target: 'es2024',
    module: 'nodenext',
    strict: true,
    noEmit: true,
    types: [],
    lib: ['es2024', 'esnext.disposable', 'dom', 'dom.iterable'],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: settings, files: ['program.ts'] }))
  await run(t, folder, process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder])
  t.true(readFileSync(join(folder, 'node_modules/lens-ha/package.json'), 'utf8').includes('"lens-ha"'))
})
