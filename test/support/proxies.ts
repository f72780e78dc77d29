/**
 * nginx and HAProxy as real processes before given nodes, with the very configuration of `docker/`: only names of nodes, the port
 * and the folder for temporary files are replaced.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { eventually } from './conditions.ts'
import { type Teardown, temporaryFolder } from './folders.ts'
import { requiredProgram } from './packages.ts'
import { freePort } from './ports.ts'
import { startProcess, type TestProcess } from './processes.ts'

export type ProxyKind = 'nginx' | 'haproxy'

export interface Proxy {
  readonly url: string
  readonly process: TestProcess
  /** What it wrote about errors so far, line by line. */
  errors(): readonly string[]
}

const files = { nginx: 'nginx.conf', haproxy: 'haproxy.cfg' }

/** The command that runs a configuration in the foreground, and the one that only checks it. */
const commands: Record<ProxyKind, (file: string, folder: string) => { run: string[]; check: string[] }> = {
  nginx(file, folder) {
    // Under root nginx would give its workers to `nobody`, who cannot enter a temporary folder.
    const main = process.getuid?.() === 0 ? 'user root; daemon off;' : 'daemon off;'
    return { run: ['-p', folder, '-c', file, '-g', main], check: ['-t', '-p', folder, '-c', file] }
  },
  haproxy: file => ({ run: ['-db', '-f', file], check: ['-c', '-f', file] }),
}

/** Writes the configuration for three nodes (`host:port` each) and a port into a folder of its own. */
export async function proxyConfiguration(
  t: Teardown,
  kind: ProxyKind,
  nodes: readonly string[],
  port: number,
  changed: (text: string) => string = text => text,
) {
  const command = await requiredProgram([kind], kind)
  const folder = await temporaryFolder(t, kind)
  const source = readFileSync(new URL(`../../docker/${files[kind]}`, import.meta.url), 'utf8')
  const text = source
    .replaceAll('/tmp/', `${folder}/`)
    // Standard error is a socket in tests, which nginx cannot open by its name.
    .replace('error_log /dev/stderr', `error_log ${folder}/error.log`)
    .replace(/\b(?:listen 8080;|bind :8080)/, kind === 'nginx' ? `listen 127.0.0.1:${port};` : `bind 127.0.0.1:${port}`)
    .replace(/\bnode([123]):9999\b/g, (_name, number: string) => nodes[Number(number) - 1] as string)
  const file = join(folder, files[kind])
  writeFileSync(file, changed(text))
  const { run, check } = commands[kind](file, folder)
  return { command, run, check, errorLog: join(folder, 'error.log') }
}

/**
 * Starts a proxy before three nodes (`host:port` each); resolves when it accepts connections. `secured` is its configuration with
 * TLS put into it, to which it then listens.
 */
export async function startProxy(
  t: Teardown,
  kind: ProxyKind,
  nodes: readonly string[],
  secured?: (text: string) => string,
): Promise<Proxy> {
  const port = await freePort()
  const { command, run, errorLog } = await proxyConfiguration(t, kind, nodes, port, secured)
  // nginx's workers would outlive a killed master.
  const started = startProcess(t, command, run, { detached: true })
  const url = `${secured ? 'https' : 'http'}://127.0.0.1:${port}`
  const ended = started.exited.then(exit => {
    throw new Error(`${kind} ended (${JSON.stringify(exit)}): ${started.err}`)
  })
  const answers = eventually(
    async () => (await fetch(`${url}/cluster/`)).status,
    status => status === 404,
    { what: `${kind} on ${url}` },
  )
  await Promise.race([answers, ended])
  ended.catch(() => {})
  // HAProxy has no file for them.
  const written = () => (existsSync(errorLog) ? readFileSync(errorLog, 'utf8') : '')
  const errors = () => `${written()}${started.out}${started.err}`.split('\n').filter(line => line !== '')
  return { url, process: started, errors }
}
