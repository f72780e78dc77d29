/**
 * The image: its Dockerfile's steps performed on a bare Debian, and the result run as a container's runtime would run it, as nobody special and on
 * a read-only root, over a real MySQL.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { eventually } from '../support/conditions.ts'
import { Contained } from '../support/contained.ts'
import { parseDockerfile } from '../support/dockerfile.ts'
import { temporaryFolder } from '../support/folders.ts'
import { buildImage, type Image } from '../support/image.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { freePort } from '../support/ports.ts'
import { runProcess } from '../support/processes.ts'

const databases = mysqlDatabases(test)
const project = new URL('../../', import.meta.url).pathname

test('an instruction or a form that is not understood is refused, never left out', t => {
  const base = 'FROM debian:bookworm-slim\n'
  t.throws(() => parseDockerfile(`${base}ADD http://example.com/x /x\n`), { message: /unknown instruction/ })
  t.throws(() => parseDockerfile(`${base}ENTRYPOINT node dist/main.js\n`), { name: 'SyntaxError' })
  t.throws(() => parseDockerfile(`${base}ENV A b\n`), { message: /not understood/ })
  t.throws(() => parseDockerfile(`FROM \${BASE}\n`), { message: /nothing is given/ })
  const [stage] = parseDockerfile(`ARG A=x\nFROM \${A} AS one\nRUN a \\\n # why\n && b\nCOPY --from=two a b\n`)
  t.is(stage?.from, 'x')
  t.deepEqual(
    stage?.steps.map(({ instruction, shell, words, flags }) => [
      instruction,
      shell?.replace(/\s+/g, ' '),
      words,
      flags,
    ]),
    [
      ['RUN', 'a && b', [], {}],
      ['COPY', undefined, ['a', 'b'], { from: 'two' }],
    ],
  )
})

/** Whole megabytes of what lies below these folders, each file once. */
async function megabytes(t: ExecutionContext, root: string, ...paths: string[]): Promise<number> {
  const { out } = await runProcess(t, 'du', ['-cxsk', ...paths.map(path => join(root, path))])
  return Math.round(Number(/^(\d+)\s+total$/m.exec(out)?.[1]) / 1024)
}

async function checkContent(t: ExecutionContext, image: Image): Promise<void> {
  const { out: files } = await runProcess(t, 'find', [image.root, '-xdev', '-type', 'f', '-printf', '/%P\n'])
  const paths = files.trim().split('\n')
  const found = (pattern: RegExp) => paths.filter(path => pattern.test(path))
  t.deepEqual(
    found(/\/(npm|npx|yarn|corepack|tsc|gcc|cc|make|python3?|git|curl|wget)$/),
    [],
    'nothing that builds or fetches',
  )
  t.deepEqual(found(/^\/app\/.*\.(ts|mts|cts|map)$/), [], 'nothing that Node does not run')
  t.deepEqual(found(/^\/app\/(test|docs|docker|src\/(?!bin\.js$))/), [], 'nothing that only builds or tests')
  t.deepEqual(found(/\/bin\/node$/), ['/usr/local/bin/node'], 'one Node')
  t.deepEqual(found(/^\/app\/node_modules\/(typescript|vite|ava|@biomejs|playwright-core)\//), [])
  for (const path of ['LICENSE', 'NOTICE', 'dist/sbom.cdx.json']) t.true(paths.includes(`/app/${path}`), path)
  const { version, license } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
  t.is(image.labels['org.opencontainers.image.version'], version)
  t.is(image.labels['org.opencontainers.image.licenses'], license)
  const whole = await megabytes(t, image.root, '.')
  const [node, packages, app] = [
    await megabytes(t, image.root, 'usr/local/bin/node'),
    await megabytes(t, image.root, 'app/node_modules'),
    await megabytes(t, image.root, 'app/dist', 'app/src', 'app/config'),
  ]
  t.log(`${whole} MB: Node ${node}, packages ${packages}, this project ${app}, Debian ${whole - node - packages - app}`)
  t.true(whole < 450, `${whole} MB`)
}

/** What the kernel says of a process. */
function statusOf(pid: number): Readonly<Record<string, string>> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').trim().split('\n')
  return Object.fromEntries(lines.map(line => line.split(/:\s+/) as [string, string]))
}

test('built on a bare Debian, it runs as nobody special on a read-only root, and leaves when it is told to', async t => {
  t.timeout(600_000)
  const folder = await temporaryFolder(t, 'image')
  const image = await buildImage(folder, line => t.log(line))
  await checkContent(t, image)

  const port = await freePort()
  const env = {
    LENS_PORT: String(port),
    LENS_NODE_ID: 'contained',
    LENS_ADVERTISE_URL: `http://127.0.0.1:${port}`,
    LENS_STORE_URL: await databases.create(t),
    LENS_CLUSTER_SECRET: 'a secret for tests only',
    LENS_DRAIN_READINESS_MS: '100',
  }
  const node = await Contained.start(t, image, { folder, env })
  const lost = node.process.exited.then(exit => {
    throw new Error(`the node ended (${JSON.stringify(exit)}): ${node.process.out}${node.process.err}`)
  })
  lost.catch(() => {})
  const healthy = async () => (await node.run(t, image.health)).code === 0
  await Promise.race([eventually(healthy, Boolean, { what: 'health' }), lost])
  const url = `http://127.0.0.1:${port}`
  await Promise.race([eventually(async () => (await fetch(`${url}/readyz`)).ok, Boolean, { what: 'readiness' }), lost])

  // A health check that cannot fail would say so of a port on which nobody listens as well.
  t.is((await node.run(t, image.health, { LENS_PORT: String(await freePort()) })).code, 1)

  // Nobody special, the first of its process ids, and with no way to become more.
  const pid = await node.pid()
  const status = statusOf(pid)
  const [uid = '', gid = ''] = image.user.split(':')
  t.regex(uid, /^[1-9]\d+$/)
  t.deepEqual(status.Uid?.split('\t'), [uid, uid, uid, uid])
  t.deepEqual(status.Gid?.split('\t'), [gid, gid, gid, gid])
  t.is(status.NSpid?.split('\t').at(-1), '1')
  t.is(status.NoNewPrivs, '1')
  t.is(Number.parseInt(status.CapEff as string, 16), 0)

  // Nothing can be written but where it has to be.
  const touch = (path: string) => node.run(t, ['touch', path])
  for (const path of ['/app/x', '/etc/x', '/usr/local/bin/x', '/app/node_modules/x', '/var/x']) {
    const { code, err } = await touch(path)
    t.is(code, 1, path)
    t.regex(err, /Read-only file system/)
  }
  for (const path of ['/tmp/x', ...image.volumes.map(volume => `${volume}/x`)]) t.is((await touch(path)).code, 0, path)

  t.is(
    (await node.run(t, ['lens', '--version'])).out.trim(),
    image.labels['org.opencontainers.image.version'] ?? 'none',
  )
  // DuckDB's native library finds what it needs in there, its process starts, and every table that is configured is there to be read.
  const client = ['--server', url, '--user', 'tester', '--format', 'json']
  for (const [table, rows] of Object.entries({ flights: 3_000_000, airports: 3376, weather: 2922 })) {
    const { code, out, err } = await node.run(t, ['lens', 'query', `select count(*) as n from ${table}`, ...client])
    t.is(code, 0, err)
    t.is(Number(JSON.parse(out)[0].n), rows, table)
  }
  t.is((await fetch(`${url}/`)).status, 200, 'the console')

  // What a runtime sends to the first process, which is the node itself: it drains, and says that it ended well.
  process.kill(pid, image.stopSignal)
  t.deepEqual(await node.process.exited, { code: 0, signal: null }, node.process.out.slice(-2000))
  t.regex(node.process.out, /handing work over[\s\S]*"drained"[\s\S]*"left"/)
})
