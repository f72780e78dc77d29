/**
 * The heartbeat as the rest of the cluster sees it, in two kinds: `ThreadHeartbeat` for a node (a thread of its own, so that
 * a busy main loop does not cost the lease, and a hung one does), `LocalHeartbeat` for simulations and tests that hold the
 * clock in their hands.
 */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import {
  type Backoff,
  backoffDelayMs,
  type CancelTimer,
  type Clock,
  type Random,
  type Service,
} from '../async/index.ts'
import type { LeaseStore } from '../store/contract.ts'
import { type BeatIdentity, BeatLoop, type BeatReport } from './beat-loop.ts'
import { Listeners } from './listeners.ts'
import type { ClusterLog } from './ports.ts'

export interface Heartbeat extends Service {
  /** From now on renews the lease of this incarnation; null: of none. */
  act(identity: BeatIdentity | null): void
  /** From now on renews the leader's lease too, under this term; null: no more. */
  lead(term: number | null): void
  /** What the next beats publish. */
  publishLoad(running: number, queued: number): void
  /** Does not wait for the next beat to be due. */
  beatNow(): void
  /** Told of every beat. Gives the end of the listening. */
  onBeat(listener: (report: BeatReport) => void): () => void
}

/** Where the thread finds its store: a module that exports `openLeaseStore`, and what that is called with (cloneable). */
export interface LeaseModule {
  readonly moduleUrl: string
  readonly options: unknown
}

export interface LeaseModuleExports {
  openLeaseStore(options: unknown): Promise<LeaseStore> | LeaseStore
}

export interface HeartbeatWorkerData {
  readonly lease: LeaseModule
  readonly shared: SharedArrayBuffer
  readonly heartbeatMs: number
  readonly attemptMs: number
}

/** What the thread says: that it can beat from now on, then what each beat came to. */
export type HeartbeatMessage = { readonly type: 'ready' } | { readonly type: 'beat'; readonly report: BeatReport }

export type HeartbeatOrder =
  | { readonly type: 'act'; readonly identity: BeatIdentity | null }
  | { readonly type: 'lead'; readonly term: number | null }
  | { readonly type: 'beat-now' }
  | { readonly type: 'stop' }

/** Places in the shared memory, as 32-bit integers. */
export const SharedIndex = { ticks: 0, running: 1, queued: 2, size: 3 } as const

export interface ThreadHeartbeatOptions {
  readonly lease: LeaseModule
  readonly heartbeatMs: number
  readonly attemptMs: number
  readonly clock: Clock
  readonly random: Random
  readonly log: ClusterLog
}

const restart: Backoff = { firstMs: 50, limitMs: 1000 }

export class ThreadHeartbeat implements Heartbeat {
  readonly #options: ThreadHeartbeatOptions
  readonly #numbers = new Int32Array(new SharedArrayBuffer(SharedIndex.size * 4))
  readonly #beats: Listeners<[BeatReport]>
  #worker: Worker | undefined
  #identity: BeatIdentity | null = null
  #term: number | null = null
  #stopped = false
  #onReady = () => {}
  #restarts = 0
  #cancelTicks: CancelTimer | undefined
  #cancelRestart: CancelTimer | undefined

  constructor(options: ThreadHeartbeatOptions) {
    this.#options = options
    this.#beats = new Listeners(options.log)
  }

  /**
   * Resolves when the thread can beat: a busy machine takes longer to load it than a lease lasts, and whoever had joined by
   * then would be fenced before its first beat.
   */
  async start(): Promise<void> {
    if (this.#worker) return
    this.#stopped = false
    const ready = new Promise<void>(resolve => {
      this.#onReady = resolve
    })
    // Often enough that a healthy loop has always ticked between two beats, however the timers fall.
    this.#cancelTicks = this.#options.clock.every(Math.max(5, this.#options.heartbeatMs / 8), () => {
      Atomics.add(this.#numbers, SharedIndex.ticks, 1)
    })
    this.#spawn()
    await ready
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#onReady()
    this.#cancelTicks?.()
    this.#cancelRestart?.()
    const worker = this.#worker
    this.#worker = undefined
    if (!worker) return
    const ended = new Promise<void>(resolve => worker.once('exit', () => resolve()))
    worker.postMessage({ type: 'stop' } satisfies HeartbeatOrder)
    // A thread that waits for a database that does not answer is not waited for.
    const cancel = this.#options.clock.after(this.#options.heartbeatMs, () => void worker.terminate())
    await ended
    cancel()
  }

  act(identity: BeatIdentity | null): void {
    this.#identity = identity
    this.#order({ type: 'act', identity })
  }

  lead(term: number | null): void {
    this.#term = term
    this.#order({ type: 'lead', term })
  }

  publishLoad(running: number, queued: number): void {
    Atomics.store(this.#numbers, SharedIndex.running, running)
    Atomics.store(this.#numbers, SharedIndex.queued, queued)
  }

  beatNow(): void {
    this.#order({ type: 'beat-now' })
  }

  onBeat(listener: (report: BeatReport) => void): () => void {
    return this.#beats.add(listener)
  }

  #order(order: HeartbeatOrder): void {
    this.#worker?.postMessage(order)
  }

  #spawn(): void {
    const { lease, heartbeatMs, attemptMs, log, clock, random } = this.#options
    // The packed package holds .js where the source tree holds .ts.
    const entry = new URL(`./heartbeat-worker${extname(import.meta.url)}`, import.meta.url)
    const shared = this.#numbers.buffer as SharedArrayBuffer
    const worker = new Worker(entry, {
      workerData: { lease, shared, heartbeatMs, attemptMs } satisfies HeartbeatWorkerData,
      name: 'lens-heartbeat',
    })
    this.#worker = worker
    worker.on('message', (message: HeartbeatMessage) => {
      this.#restarts = 0
      if (message.type === 'ready') this.#onReady()
      else if (!this.#stopped) this.#beats.tell(message.report)
    })
    worker.on('error', error => log.error({ err: error }, 'the heartbeat thread failed'))
    worker.once('exit', () => {
      if (this.#stopped || this.#worker !== worker) return
      this.#worker = undefined
      const delayMs = backoffDelayMs(restart, this.#restarts++, random)
      this.#cancelRestart = clock.after(delayMs, () => this.#spawn())
    })
    this.#order({ type: 'lead', term: this.#term })
    this.#order({ type: 'act', identity: this.#identity })
  }
}

export interface LocalHeartbeatOptions {
  readonly open: () => Promise<LeaseStore>
  readonly heartbeatMs: number
  readonly attemptMs: number
  readonly clock: Clock
  readonly random: Random
  readonly log: ClusterLog
}

/** On the main loop: a hang of it stops the beats by itself. */
export class LocalHeartbeat implements Heartbeat {
  readonly #loop: BeatLoop
  readonly #beats: Listeners<[BeatReport]>
  #running = 0
  #queued = 0
  #ticks = 0
  #stopped = false

  constructor(options: LocalHeartbeatOptions) {
    this.#beats = new Listeners(options.log)
    this.#loop = new BeatLoop({
      ...options,
      ticks: () => this.#ticks++,
      load: () => ({ running: this.#running, queued: this.#queued }),
      report: report => {
        if (!this.#stopped) this.#beats.tell(report)
      },
    })
  }

  async start(): Promise<void> {
    this.#loop.start()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#loop.stop()
  }

  act(identity: BeatIdentity | null): void {
    this.#loop.act(identity)
  }

  lead(term: number | null): void {
    this.#loop.lead(term)
  }

  publishLoad(running: number, queued: number): void {
    this.#running = running
    this.#queued = queued
  }

  beatNow(): void {
    this.#loop.beatNow()
  }

  onBeat(listener: (report: BeatReport) => void): () => void {
    return this.#beats.add(listener)
  }
}
