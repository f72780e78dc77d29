/**
 * One `lens serve` as a child process.
 *
 *     new ──start──▶ running ──(exit)──▶ ended, for good
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Clock } from '../../async/index.ts'
import { readableLine } from './log-line.ts'

export interface LocalNodeOptions {
  readonly name: string
  readonly host: string
  readonly port: number
  /** It speaks TLS. */
  readonly secure: boolean
  readonly configFile?: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  /** Told every line of its log. */
  readonly onLine?: (line: string) => void
}

const probeMs = 100

export class LocalNode {
  readonly name: string
  readonly url: string
  /** How the process ended. */
  readonly ended: Promise<string>
  readonly #options: LocalNodeOptions
  readonly #end = Promise.withResolvers<string>()
  #child: ChildProcess | null = null
  #running = false

  constructor(options: LocalNodeOptions) {
    this.#options = options
    this.name = options.name
    const host = options.host === '0.0.0.0' || options.host === '::' ? '127.0.0.1' : options.host
    this.url = `${options.secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${options.port}`
    this.ended = this.#end.promise
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  get running(): boolean {
    return this.#running
  }

  start(): void {
    const { name, port, host, configFile, env, onLine } = this.#options
    const entry = entryFile()
    const flags = ['--node-id', name, '--port', String(port), '--host', host, '--advertise-url', this.url]
    if (configFile !== undefined) flags.push('--config', configFile)
    const child = spawn(process.execPath, [...process.execArgv, entry, 'serve', '--stop-with-parent', ...flags], {
      env: { ...env },
      // In a group of its own, so that Ctrl-C reaches only the parent, which then asks for an orderly end. The channel
      // tells the node when the parent was killed.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#child = child
    this.#running = true
    for (const stream of [child.stdout, child.stderr]) forEachLine(stream, line => onLine?.(readableLine(line)))
    child.once('error', error => this.#finish(error.message))
    child.once('exit', (code, signal) => this.#finish(signal ? `killed by ${signal}` : `exit code ${code}`))
  }

  /** Resolves with true once it serves, with false when it has ended before. */
  async ready(): Promise<boolean> {
    while (this.#running) {
      const answered = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(() => null)
      await answered?.body?.cancel()
      if (answered?.ok) return true
      await Promise.race([this.#options.clock.sleep(probeMs), this.ended])
    }
    return false
  }

  /** Asks for an orderly end and waits for it. */
  async stop(): Promise<void> {
    if (this.#running) this.#child?.kill('SIGTERM')
    await this.ended
  }

  /** Ends it at once; safe when it has ended already. */
  kill(): void {
    if (this.#running) this.#child?.kill('SIGKILL')
  }

  #finish(how: string): void {
    this.#running = false
    this.#end.resolve(how)
  }
}

/** `main.ts`, or `main.js` in the published package. */
function entryFile(): string {
  const own = fileURLToPath(import.meta.url)
  return fileURLToPath(new URL(`../../main${own.slice(own.lastIndexOf('.'))}`, import.meta.url))
}

function forEachLine(stream: Readable | null, take: (line: string) => void): void {
  if (stream) createInterface({ input: stream }).on('line', take)
}
