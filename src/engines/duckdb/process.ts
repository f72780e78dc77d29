/**
 * The node's end of one engine process.
 *
 *     starting ──▶ ready ──▶ ended
 *         └──────────────────▲   (exit, kill, close; everything in flight fails with `process-died`)
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { getCompileCacheDir } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Clock, type Deferred, deferred } from '../../async/index.ts'
import type { TableView } from '../../domain/index.ts'
import { EngineError, type EngineLogger } from '../contract.ts'
import { Mailbag } from './mailbag.ts'
import type { Answers, CallName, FromProcess, OpenMessage, ProcessStatement, ToProcess } from './protocol.ts'
import { ProcessRun } from './run.ts'

// Compiled or not, the process starts from the file beside this one.
const childFile = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './child.ts' : './child.js', import.meta.url))
// Opening leases, checking and encoding need threads beside those that the statements hold.
const spareThreads = 8
const threadsMax = 1024

export interface EngineProcessOptions {
  readonly engine: string
  readonly open: Omit<OpenMessage, 'type' | 'folder' | 'connections'>
  /** Statements that may run at once. */
  readonly statementsMax: number
  readonly logger: EngineLogger
  readonly clock: Clock
}

/** Where this process keeps what it compiled, the engine's process keeps its own: Node adds a folder of its version to either. */
function compileCache(): { NODE_COMPILE_CACHE?: string } {
  const folder = getCompileCacheDir()
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: dirname(folder) }
}

export class EngineProcess {
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #ready = deferred<readonly TableView[]>()
  readonly #ended = deferred()
  readonly #calls = new Map<number, Deferred<Answers[CallName]>>()
  readonly #runs = new Map<number, ProcessRun>()
  readonly #mailbag: Mailbag<ToProcess>
  #nextId = 1
  #isEnded = false

  constructor(options: EngineProcessOptions) {
    this.#folder = mkdtempSync(join(tmpdir(), 'lens-duckdb-'))
    this.#child = fork(childFile, [], {
      serialization: 'advanced',
      execArgv: [],
      // No variable of the node reaches it but those that it needs: they may hold secrets.
      env: {
        PATH: process.env.PATH,
        HOME: this.#folder,
        TMPDIR: tmpdir(),
        TZ: 'UTC',
        ...compileCache(),
        UV_THREADPOOL_SIZE: `${Math.min(threadsMax, options.statementsMax + spareThreads)}`,
      },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    // A channel that breaks is followed by `exit`, which fails everything.
    this.#mailbag = new Mailbag(messages => {
      if (this.#child.connected) this.#child.send([...messages], () => {})
    }, options.clock)
    this.#ready.promise.catch(() => {})
    this.#child.on('message', (messages: readonly FromProcess[]) => {
      for (const message of messages) this.#receive(message)
    })
    this.#child.on('error', error => this.#end(`could not be started: ${error.message}`))
    this.#child.on('exit', (code, signal) => this.#end(signal ? `was ended by ${signal}` : `ended with code ${code}`))
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      options.logger.warn({ engine: options.engine, text: text.slice(0, 4000) }, 'the engine process says')
    })
    this.#mailbag.post({
      type: 'open',
      folder: this.#folder,
      connections: options.statementsMax + spareThreads,
      ...options.open,
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  /** Its tables, once it takes statements. Rejects when it cannot. */
  get ready(): Promise<readonly TableView[]> {
    return this.#ready.promise
  }

  /** Resolves when it is gone, for whatever reason. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  async call<Name extends CallName>(call: Name, statement: ProcessStatement): Promise<Answers[Name]> {
    const id = this.#nextId++
    const answer = deferred<Answers[CallName]>()
    if (this.#isEnded) throw died()
    this.#calls.set(id, answer)
    this.#mailbag.post({ type: 'call', id, call, statement })
    return answer.promise as Promise<Answers[Name]>
  }

  /** Gives it the statement; `started` of the run says whether it was taken. */
  run(statement: ProcessStatement): ProcessRun {
    const id = this.#nextId++
    const run = new ProcessRun({
      credit: () => this.#mailbag.post({ type: 'credit', id }),
      cancel: () => this.#mailbag.post({ type: 'cancel', id }),
    })
    if (this.#isEnded) run.fail(died())
    else {
      this.#runs.set(id, run)
      this.#mailbag.post({ type: 'run', id, statement, credits: ProcessRun.credits })
    }
    return run
  }

  /** Ends it with all that runs in it; resolves when it is gone. Safe twice. */
  async close(): Promise<void> {
    if (!this.#isEnded) {
      if (this.#child.connected) this.#child.disconnect()
      // What it owns is nothing but links and spilled rows: there is nothing to wait for.
      this.#child.kill('SIGKILL')
    }
    await this.#ended.promise
  }

  #receive(message: FromProcess): void {
    switch (message.type) {
      case 'ready':
        this.#ready.resolve(message.tables)
        break
      case 'open-failed':
        this.#ready.reject(new EngineError('unavailable', message.message))
        break
      case 'answer':
        this.#calls.get(message.id)?.resolve(message.answer)
        this.#calls.delete(message.id)
        break
      case 'refused':
        this.#calls.get(message.id)?.reject(new EngineError(message.failure, message.message))
        this.#calls.delete(message.id)
        break
      default:
        if (this.#runs.get(message.id)?.receive(message)) this.#runs.delete(message.id)
    }
  }

  #end(how: string): void {
    if (this.#isEnded) return
    this.#isEnded = true
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 })
    this.#ready.reject(new EngineError('unavailable', `The engine process ${how}.`))
    for (const call of this.#calls.values()) call.reject(died())
    this.#calls.clear()
    for (const run of this.#runs.values()) run.fail(died())
    this.#runs.clear()
    this.#ended.resolve()
  }
}

function died(): EngineError {
  return new EngineError('process-died', 'The engine process died under the statement.')
}
