/**
 * The one thing that happens in a simulated world: a seeded queue of events in virtual time.
 *
 *     take the next event ─▶ run it ─▶ wait until no microtask is left ─▶ look (invariants) ─▶ take the next …
 *
 * Whatever a simulated process awaits is either a microtask or an event of this queue, so a crash or a freeze, being events
 * themselves, can fall on any await that anything outside the process could notice. Nothing here knows real time: the same
 * seed gives the same events, and `hash` says so.
 *
 *     running ⇄ frozen (its events are held, and delivered late)
 *        └──────┴─▶ crashed (its events are dropped: what it awaits never settles)
 */
import { type CancelTimer, timerMaxMs } from '../../src/async/index.ts'
import { EventQueue, type QueuedEvent } from './event-queue.ts'
import { SimulatedProcess } from './process.ts'
import { hashOf, SeededRandom } from './random.ts'

export interface SchedulerOptions {
  readonly seed: string
  /** The wall clock at the start of the world, in milliseconds since 1970. */
  readonly startsAtMs?: number
  /** Any event of a process may come later than it is due. */
  readonly preemption?: { readonly chance: number; readonly delayMsMax: number }
  /** Told of each event before it runs. */
  readonly trace?: (event: TracedEvent) => void
}

export interface TracedEvent {
  readonly step: number
  /** Virtual, since the start of the world. */
  readonly atMs: number
  /** Name of the process; empty for what belongs to none. */
  readonly process: string
  readonly label: string
}

export interface RunOptions {
  /** Stops before the first event that is later than this, and sets the clock to it. */
  readonly untilMs?: number
  /** Stops after the first step for which this is true. */
  readonly until?: () => boolean
  /** After every step, when no microtask is left. What it throws ends the run. */
  readonly onStep?: () => void
  /** Events at the most; more are an error. */
  readonly stepsMax?: number
}

/** Why a run ended: the time was reached, the condition became true, or nothing is left to happen. */
export type RunEnd = 'time' | 'condition' | 'idle'

export interface ScheduledEvent extends QueuedEvent {
  readonly process: SimulatedProcess | null
  readonly label: string
  /** Null: cancelled, or done. */
  task: (() => void) | null
  /** Settles no promise of a process: no microtasks follow. */
  readonly quiet: boolean
  preempted: boolean
}

/** What a task threw: in a process of its own it would have ended it. */
export class UncaughtInSimulation extends Error {}

const defaultStartMs = Date.UTC(2026, 0, 1)
/** More events than this at one instant are a loop that time would end in a real process. */
const eventsPerInstantMax = 200_000

export class Scheduler {
  readonly seed: string
  readonly startsAtMs: number
  /** For what belongs to the world and not to a process. */
  readonly random: SeededRandom
  readonly #queue = new EventQueue<ScheduledEvent>()
  readonly #draws: SeededRandom
  readonly #preemption: { readonly chance: number; readonly delayMsMax: number }
  readonly #trace: ((event: TracedEvent) => void) | undefined
  readonly #labelHashes = new Map<string, number>()
  readonly #lives = new Map<string, number>()
  #nowMs = 0
  #numbers = 0
  #steps = 0
  #instantSteps = 0
  #hashA = 0x9e3779b9
  #hashB = 0x85ebca6b

  constructor({ seed, startsAtMs = defaultStartMs, preemption, trace }: SchedulerOptions) {
    this.seed = seed
    this.startsAtMs = startsAtMs
    this.random = new SeededRandom(`${seed}/world`)
    this.#draws = new SeededRandom(`${seed}/order`)
    this.#preemption = preemption ?? { chance: 0, delayMsMax: 0 }
    this.#trace = trace
  }

  /** Virtual milliseconds since the start of the world. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** The true wall clock: milliseconds since 1970. */
  get wallMs(): number {
    return this.startsAtMs + this.#nowMs
  }

  /** Events that ran. */
  get steps(): number {
    return this.#steps
  }

  /** Of all events that ran, with their times, in their order. */
  get hash(): string {
    return (this.#hashA >>> 0).toString(16).padStart(8, '0') + (this.#hashB >>> 0).toString(16).padStart(8, '0')
  }

  /** A new process; one that takes the name of an earlier one has other draws than that. */
  process(name: string): SimulatedProcess {
    const life = (this.#lives.get(name) ?? 0) + 1
    this.#lives.set(name, life)
    return new SimulatedProcess(this, name, new SeededRandom(`${this.seed}/process/${name}/${life}`))
  }

  /** An event of the world itself: of the database's server, of the network, of whoever injects faults. */
  schedule(delayMs: number, label: string, task: () => void, quiet = false): CancelTimer {
    return this.scheduleOf(null, delayMs, label, task, quiet)
  }

  /** For `SimulatedProcess`. */
  scheduleOf(
    process: SimulatedProcess | null,
    delayMs: number,
    label: string,
    task: () => void,
    quiet = false,
  ): CancelTimer {
    const event: ScheduledEvent = {
      // No number at all counts as none: as for a timer of Node.
      dueMs: this.#nowMs + (Math.min(Math.max(0, delayMs), timerMaxMs) || 0),
      draw: this.#draws.uint32(),
      number: this.#numbers++,
      process,
      label,
      task,
      quiet,
      preempted: false,
    }
    this.#queue.push(event)
    return () => {
      event.task = null
    }
  }

  /** For `SimulatedProcess`: events that were held come now, in the order in which they were due. */
  release(held: readonly ScheduledEvent[]): void {
    for (const event of held) {
      event.dueMs = this.#nowMs
      event.draw = 0
      event.number = this.#numbers++
      event.preempted = true
      this.#queue.push(event)
    }
  }

  async run({ untilMs = Number.POSITIVE_INFINITY, until, onStep, stepsMax }: RunOptions = {}): Promise<RunEnd> {
    const stepLimit = stepsMax === undefined ? Number.POSITIVE_INFINITY : this.#steps + stepsMax
    await drained()
    for (;;) {
      if (until?.()) return 'condition'
      const event = this.#next(untilMs)
      if (!event) {
        if (this.#queue.size === 0 && untilMs === Number.POSITIVE_INFINITY) return 'idle'
        this.#nowMs = Math.max(this.#nowMs, untilMs)
        return 'time'
      }
      if (this.#steps >= stepLimit) throw new Error(`more than ${stepsMax} events`)
      this.#execute(event)
      if (!event.quiet) await drained()
      onStep?.()
    }
  }

  /** Runs until this has settled, and gives what it gave. Rejects when nothing is left to happen before that, or time is up. */
  async settled<T>(work: Promise<T>, options: Omit<RunOptions, 'until'> = {}): Promise<T> {
    let done = false
    const finish = () => {
      done = true
    }
    work.then(finish, finish)
    const end = await this.run({ ...options, until: () => done })
    if (end !== 'condition') throw new Error(`still under way when the run ended: ${end}`)
    return work
  }

  /** The next event that is to run now; null when there is none up to `untilMs`. */
  #next(untilMs: number): ScheduledEvent | null {
    for (;;) {
      const first = this.#queue.first
      if (!first || first.dueMs > untilMs) return null
      this.#queue.pop()
      const { process } = first
      if (first.task === null || process?.state === 'crashed') continue
      if (process?.state === 'frozen') {
        process.hold(first)
        continue
      }
      if (process && !first.preempted && this.#preemption.chance > 0) {
        first.preempted = true
        if (this.#draws.chance(this.#preemption.chance)) {
          first.dueMs += this.#draws.fraction() * this.#preemption.delayMsMax
          this.#queue.push(first)
          continue
        }
      }
      return first
    }
  }

  #execute(event: ScheduledEvent): void {
    const { dueMs, process, label, task } = event
    if (dueMs > this.#nowMs) {
      this.#nowMs = dueMs
      this.#instantSteps = 0
    } else if (++this.#instantSteps > eventsPerInstantMax)
      throw new Error(`time stands still: ${label} of ${process?.name ?? 'the world'}`)
    this.#steps++
    this.#note(process?.nameHash ?? 0, label)
    this.#trace?.({ step: this.#steps, atMs: this.#nowMs, process: process?.name ?? '', label })
    event.task = null
    try {
      task?.()
    } catch (error) {
      throw new UncaughtInSimulation(`${label} of ${process?.name ?? 'the world'} threw: ${error}`, { cause: error })
    }
  }

  #note(nameHash: number, label: string): void {
    let labelHash = this.#labelHashes.get(label)
    if (labelHash === undefined) {
      labelHash = hashOf(label)
      this.#labelHashes.set(label, labelHash)
    }
    const time = ((this.#nowMs * 4096) % 2 ** 32) | 0
    this.#hashA = Math.imul(this.#hashA ^ time, 0x01000193) + labelHash
    this.#hashB = Math.imul(this.#hashB ^ nameHash ^ this.#hashA, 0x85ebca6b)
    this.#hashB ^= this.#hashB >>> 15
  }
}

/** Resolves when no microtask is left: a real turn of the loop, which takes about a microsecond. */
export function drained(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
