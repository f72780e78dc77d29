/**
 * The real beat loop for a simulated node: in a process of its own that stands for the heartbeat's thread, which the main loop
 * gives its orders and hears from by messages. A main loop that hangs (its process is frozen, the thread's is not) does not
 * tick, and its beats are skipped.
 */
import { BeatLoop, type BeatReport } from '../../src/cluster/beat-loop.ts'
import type { LeaseStore } from '../../src/store/contract.ts'
import type { SimulatedHeartbeat, SimulatedHeartbeatOptions } from './database-contract.ts'
import type { EventStream, SimulatedProcess } from './process.ts'

/** A message between two threads takes about this long, in milliseconds. */
const messageMs = 0.02

export class ProcessHeartbeat implements SimulatedHeartbeat {
  readonly thread: SimulatedProcess
  readonly #loop: BeatLoop
  readonly #orders: EventStream
  readonly #listeners = new Set<(report: BeatReport) => void>()
  #running = 0
  #queued = 0
  #stopped = false

  constructor(
    process: SimulatedProcess,
    thread: SimulatedProcess,
    leases: () => LeaseStore,
    { heartbeatMs, attemptMs, log }: SimulatedHeartbeatOptions,
  ) {
    this.thread = thread
    process.onCrash(() => thread.crash())
    this.#orders = thread.stream()
    const reports = process.stream()
    const tickMs = Math.max(5, heartbeatMs / 8)
    let ticks = 0
    this.#loop = new BeatLoop({
      open: async () => leases(),
      clock: thread.clock,
      random: thread.random,
      heartbeatMs,
      attemptMs,
      ticks: () => {
        // What a timer of the main loop would have counted.
        if (process.state === 'running') ticks = Math.floor(process.clock.monotonic() / tickMs)
        return ticks
      },
      load: () => ({ running: this.#running, queued: this.#queued }),
      report: report =>
        reports.push(messageMs, 'beat report', () => {
          if (this.#stopped) return
          for (const listener of [...this.#listeners])
            try {
              listener(report)
            } catch (error) {
              log.error({ err: error }, 'a listener failed')
            }
        }),
    })
  }

  async start(): Promise<void> {
    this.#order(() => this.#loop.start())
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#order(() => void this.#loop.stop())
  }

  act(identity: Parameters<BeatLoop['act']>[0]): void {
    this.#order(() => this.#loop.act(identity))
  }

  lead(term: number | null): void {
    this.#order(() => this.#loop.lead(term))
  }

  publishLoad(running: number, queued: number): void {
    this.#running = running
    this.#queued = queued
  }

  beatNow(): void {
    this.#order(() => this.#loop.beatNow())
  }

  onBeat(listener: (report: BeatReport) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #order(order: () => void): void {
    this.#orders.push(messageMs, 'heartbeat order', order)
  }
}
