/** A process of a simulated world: its clock and its draws, and the events that die, stop or wait with it. */
import type { CancelTimer, Clock } from '../../src/async/index.ts'
import { hashOf, type SeededRandom } from './random.ts'
import type { ScheduledEvent, Scheduler } from './scheduler.ts'

export type ProcessState = 'running' | 'frozen' | 'crashed'

export interface FreezeOptions {
  /** Like a suspended machine: its monotonic clock does not count the time. */
  readonly monotonicHalts?: boolean
}

/** Events that come in the order in which they were sent, like bytes of one connection. */
export interface EventStream {
  /** `delayMs` from now, but never before one that was sent earlier. */
  push(delayMs: number, label: string, task: () => void): void
  /** What has not come yet never comes. */
  clear(): void
}

export class SimulatedProcess {
  readonly name: string
  /** Of the name, for the scheduler's hash. */
  readonly nameHash: number
  readonly clock: Clock
  readonly random: SeededRandom
  /** How far this process's wall clock is from the true one; may change at any time. */
  wallOffsetMs = 0
  readonly #scheduler: Scheduler
  readonly #endings: (() => void)[] = []
  readonly #freezes: ((frozen: boolean) => void)[] = []
  #state: ProcessState = 'running'
  #held: ScheduledEvent[] = []
  #frozenAtMs = 0
  #haltedMs = 0
  #monotonicHalts = false

  /** Made by `Scheduler.process`. */
  constructor(scheduler: Scheduler, name: string, random: SeededRandom) {
    this.#scheduler = scheduler
    this.name = name
    this.nameHash = hashOf(name)
    this.random = random
    this.clock = clockOf(this, scheduler, () => this.#haltedMs)
  }

  get state(): ProcessState {
    return this.#state
  }

  schedule(delayMs: number, label: string, task: () => void): CancelTimer {
    return this.#scheduler.scheduleOf(this, delayMs, label, task)
  }

  stream(): EventStream {
    return new ProcessStream(this, this.#scheduler)
  }

  /** For ever; safe twice. Connections and peers are told by `onCrash`. */
  crash(): void {
    if (this.#state === 'crashed') return
    this.#state = 'crashed'
    this.#held = []
    for (const ended of this.#endings.splice(0)) ended()
  }

  freeze({ monotonicHalts = false }: FreezeOptions = {}): void {
    if (this.#state !== 'running') return
    this.#state = 'frozen'
    this.#frozenAtMs = this.#scheduler.nowMs
    this.#monotonicHalts = monotonicHalts
    for (const changed of this.#freezes) changed(true)
  }

  /** What came while it was frozen comes now. */
  resume(): void {
    if (this.#state !== 'frozen') return
    this.#state = 'running'
    if (this.#monotonicHalts) this.#haltedMs += this.#scheduler.nowMs - this.#frozenAtMs
    this.#scheduler.release(this.#held.splice(0))
    for (const changed of this.#freezes) changed(false)
  }

  /** What the world does when it crashes: close its connections, end its child processes. */
  onCrash(ended: () => void): void {
    if (this.#state === 'crashed') ended()
    else this.#endings.push(ended)
  }

  onFreeze(changed: (frozen: boolean) => void): void {
    this.#freezes.push(changed)
  }

  /** For the scheduler: an event that is due while this is frozen. */
  hold(event: ScheduledEvent): void {
    this.#held.push(event)
  }
}

/** Only the first of a stream is in the queue, so that no delay and no freeze can change their order. */
class ProcessStream implements EventStream {
  readonly #process: SimulatedProcess
  readonly #scheduler: Scheduler
  #waiting: { dueMs: number; label: string; task: () => void }[] = []
  #scheduled = false
  #lastDueMs = 0
  #generation = 0

  constructor(process: SimulatedProcess, scheduler: Scheduler) {
    this.#process = process
    this.#scheduler = scheduler
  }

  push(delayMs: number, label: string, task: () => void): void {
    this.#lastDueMs = Math.max(this.#lastDueMs, this.#scheduler.nowMs + delayMs)
    this.#waiting.push({ dueMs: this.#lastDueMs, label, task })
    if (!this.#scheduled) this.#schedule()
  }

  clear(): void {
    this.#waiting = []
    this.#generation++
    this.#scheduled = false
  }

  #schedule(): void {
    const [first] = this.#waiting
    this.#scheduled = first !== undefined
    if (!first) return
    const generation = this.#generation
    this.#process.schedule(first.dueMs - this.#scheduler.nowMs, first.label, () => {
      if (generation !== this.#generation) return
      this.#waiting.shift()
      this.#schedule()
      first.task()
    })
  }
}

function clockOf(process: SimulatedProcess, scheduler: Scheduler, haltedMs: () => number): Clock {
  const turn = process.stream()
  const clock: Clock = {
    now: () => Math.floor(scheduler.wallMs + process.wallOffsetMs),
    monotonic: () => scheduler.nowMs - haltedMs(),
    soon: task => turn.push(0, 'soon', task),
    after: (delayMs, task) => process.schedule(delayMs, 'timer', task),
    every(periodMs, task) {
      let cancelled = false
      let cancel: CancelTimer = () => undefined
      const again = () => {
        cancel = process.schedule(Math.max(1, periodMs), 'timer', () => {
          again()
          if (!cancelled) task()
        })
      }
      again()
      return () => {
        cancelled = true
        cancel()
      }
    },
    sleep: (delayMs, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason)
        const abort = () => {
          cancel()
          reject(signal?.reason)
        }
        const cancel = process.schedule(delayMs, 'timer', () => {
          signal?.removeEventListener('abort', abort)
          resolve()
        })
        signal?.addEventListener('abort', abort, { once: true })
      }),
  }
  return clock
}
