/**
 * A server that speaks Trino's client protocol, in a process of its own: what Trino demands of its clients (tokens, slugs, nothing runs
 * before the first GET), the answers' forms, and the faults that a test asks for. DuckDB runs the SQL.
 */
import { type ChildProcess, execFile, fork } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Teardown, temporaryFolder } from '../folders.ts'
import type {
  AnswerMessage,
  Command,
  CommandMessage,
  Fault,
  HistoryEntry,
  Match,
  QueryRecord,
  StartedOptions,
  TrinoOptions,
} from './control.ts'

export type * from './control.ts'

const execute = promisify(execFile)

export class TrinoServer {
  readonly url: string
  readonly port: number
  readonly pid: number
  /** Of the authority that its certificate is of, PEM; null without TLS. */
  readonly ca: string | null
  readonly caFile: string | null
  readonly #send: (command: Command) => Promise<unknown>

  constructor(
    send: (command: Command) => Promise<unknown>,
    at: { readonly port: number; readonly pid: number; readonly ca: string | null; readonly caFile: string | null },
  ) {
    this.#send = send
    this.port = at.port
    this.pid = at.pid
    this.ca = at.ca
    this.caFile = at.caFile
    this.url = `${at.ca === null ? 'http' : 'https'}://127.0.0.1:${at.port}`
  }

  /** As somebody else sees it: rows by DuckDB itself, whole numbers as texts. */
  async sql(text: string): Promise<unknown[][]> {
    return (await this.#send({ do: 'sql', text })) as unknown[][]
  }

  async fault(fault: Fault): Promise<void> {
    await this.#send({ do: 'fault', fault })
  }

  /** Whatever is held goes on, and no more is held. */
  async release(): Promise<void> {
    await this.#send({ do: 'release' })
  }

  async clear(): Promise<void> {
    await this.#send({ do: 'clear' })
  }

  /** Resolves when so many such requests have come, be they answered or not. */
  async asked(match: Match, count = 1): Promise<HistoryEntry> {
    return (await this.#send({ do: 'asked', match, count })) as HistoryEntry
  }

  async history(): Promise<HistoryEntry[]> {
    return (await this.#send({ do: 'history' })) as HistoryEntry[]
  }

  async queries(): Promise<QueryRecord[]> {
    return (await this.#send({ do: 'queries' })) as QueryRecord[]
  }

  /** All queries are lost; tables stay. */
  async restart(): Promise<void> {
    await this.#send({ do: 'restart' })
  }

  async refuse(): Promise<void> {
    await this.#send({ do: 'refuse' })
  }

  async accept(): Promise<void> {
    await this.#send({ do: 'accept' })
  }
}

export async function startTrino(t: Teardown, options: TrinoOptions = {}): Promise<TrinoServer> {
  const child = fork(new URL('server.ts', import.meta.url), [], {
    // Each running statement of DuckDB holds a thread.
    env: { ...process.env, UV_THREADPOOL_SIZE: '64' },
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const send = commands(child)
  const tls = options.tls ? await certificate(t) : null
  const started: StartedOptions = { ...options, ...(tls ? { key: tls.key, cert: tls.cert } : {}) }
  const port = (await send({ do: 'start', options: started })) as number
  return new TrinoServer(send, { port, pid: child.pid as number, ca: tls?.ca ?? null, caFile: tls?.caFile ?? null })
}

function commands(child: ChildProcess): (command: Command) => Promise<unknown> {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  let last = 0
  child.on('message', ({ id, value, error }: AnswerMessage) => {
    const waiter = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) waiter?.resolve(value)
    else waiter?.reject(new Error(error))
  })
  child.once('exit', code => {
    for (const { reject } of waiting.values()) reject(new Error(`the Trino server has ended (${code})`))
    waiting.clear()
  })
  return command =>
    new Promise((resolve, reject) => {
      if (!child.connected) {
        reject(new Error('the Trino server has ended'))
        return
      }
      const message: CommandMessage = { id: ++last, command }
      waiting.set(message.id, { resolve, reject })
      child.send(message)
    })
}

/** An authority of this test alone, and a certificate for 127.0.0.1 by it. */
async function certificate(t: Teardown) {
  const folder = await temporaryFolder(t, 'trino')
  const at = (name: string) => join(folder, name)
  const openssl = (...args: string[]) => execute('openssl', args, { cwd: folder })
  await openssl(
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=test authority', '-keyout', 'ca.key', '-out', 'ca.pem'],
  )
  await openssl(
    ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-subj', '/CN=127.0.0.1', '-keyout', 'server.key', '-out', 'server.csr'],
  )
  await writeFile(at('names'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n')
  await openssl(
    ...['x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'],
    ...['-extfile', 'names', '-out', 'server.pem'],
  )
  const [ca, key, cert] = await Promise.all(
    ['ca.pem', 'server.key', 'server.pem'].map(name => readFile(at(name), 'utf8')),
  )
  return { ca: ca as string, key: key as string, cert: cert as string, caFile: at('ca.pem') }
}
