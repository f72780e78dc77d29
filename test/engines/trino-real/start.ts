/** A coordinator that is its own worker, with an HTTP port for everybody and an HTTPS port for who signs in. */
import { execFile } from 'node:child_process'
import { pbkdf2Sync, randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { eventually } from '../../support/conditions.ts'
import { type Teardown, temporaryFolder } from '../../support/folders.ts'
import { freePort } from '../../support/ports.ts'
import { startProcess } from '../../support/processes.ts'
import type { InstalledTrino } from './install.ts'
import { person, signingKey } from './server.ts'

const execute = promisify(execFile)
const startMs = 120_000

export interface StartedTrino {
  readonly url: string
  readonly secureUrl: string
}

export async function startInstalled(t: Teardown, { home, javaHome }: InstalledTrino): Promise<StartedTrino> {
  const folder = await temporaryFolder(t, 'trino')
  const [port, securePort] = [await freePort(), await freePort()]
  await configure(folder, port, securePort)
  const server = startProcess(
    t,
    join(home, 'bin/launcher'),
    ['run', '--etc-dir', join(folder, 'etc'), '--data-dir', join(folder, 'data')],
    { env: { ...process.env, JAVA_HOME: javaHome, PATH: `${javaHome}/bin:${process.env.PATH}` }, detached: true },
  )
  const url = `http://127.0.0.1:${port}`
  const answers = eventually(
    async () => ((await (await fetch(`${url}/v1/info`)).json()) as { starting: boolean }).starting === false,
    undefined,
    { what: 'the start of Trino', withinMs: startMs, periodMs: 200 },
  )
  const ends = server.exited.then(() => {
    throw new Error(`Trino has ended:\n${`${server.out}${server.err}`.slice(-4_000)}`)
  })
  // Later on nobody listens to that.
  ends.catch(() => {})
  await Promise.race([answers, ends])
  return { url, secureUrl: `https://127.0.0.1:${securePort}` }
}

async function configure(folder: string, port: number, securePort: number): Promise<void> {
  const etc = join(folder, 'etc')
  await mkdir(join(etc, 'catalog'), { recursive: true })
  const lines = (name: string, ...text: string[]) => writeFile(join(etc, name), `${text.join('\n')}\n`)
  const keys = ['-keyout', join(etc, 'key.pem'), '-out', join(etc, 'certificate.pem')]
  await execute('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1'],
    ...['-addext', 'subjectAltName=IP:127.0.0.1', ...keys],
  ])
  const pair = await Promise.all(['key.pem', 'certificate.pem'].map(name => readFile(join(etc, name), 'utf8')))
  const salt = randomBytes(16)
  const hash = pbkdf2Sync(person.password, salt, 1_000, 32, 'sha1')
  await Promise.all([
    lines('server.pem', ...pair),
    lines('node.properties', 'node.environment=tests'),
    lines('jvm.config', ...['-server', '-Xmx2G', '-XX:+ExitOnOutOfMemoryError', '-Djdk.attach.allowAttachSelf=true']),
    lines(
      'config.properties',
      ...['coordinator=true', 'node-scheduler.include-coordinator=true', `http-server.http.port=${port}`],
      ...[`discovery.uri=http://127.0.0.1:${port}`, 'http-server.https.enabled=true'],
      ...[`http-server.https.port=${securePort}`, `http-server.https.keystore.path=${join(etc, 'server.pem')}`],
      ...['http-server.authentication.type=PASSWORD,JWT', 'http-server.authentication.allow-insecure-over-http=true'],
      ...[`http-server.authentication.jwt.key-file=${join(etc, 'jwt.key')}`],
      `internal-communication.shared-secret=${randomBytes(64).toString('hex')}`,
    ),
    lines(
      'password-authenticator.properties',
      ...['password-authenticator.name=file', `file.password-file=${join(etc, 'passwords')}`],
    ),
    lines('passwords', `${person.name}:1000:${salt.toString('hex')}:${hash.toString('hex')}`),
    writeFile(join(etc, 'jwt.key'), Buffer.from(signingKey).toString('base64')),
    lines('catalog/memory.properties', 'connector.name=memory'),
    lines('catalog/tpch.properties', 'connector.name=tpch'),
  ])
}
