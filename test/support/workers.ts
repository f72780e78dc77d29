/** Load that goes on until it is told to end: each worker repeats its round, and counts. */
import { eventually } from './conditions.ts'

export class Worker {
  rounds = 0
  readonly #name: string
  #over = false
  #asked = false
  #error: unknown = null

  /** `round` is repeated until `end`; what it throws fails `end`. */
  constructor(name: string, round: (index: number) => Promise<unknown>) {
    this.#name = name
    void this.#run(round)
  }

  async #run(round: (index: number) => Promise<unknown>): Promise<void> {
    try {
      for (; !this.#asked; this.rounds++) await round(this.rounds)
    } catch (error) {
      this.#error = error
    }
    this.#over = true
  }

  /** Resolves when the present round is over. */
  async end(): Promise<void> {
    this.#asked = true
    await eventually(() => this.#over, Boolean, {
      what: `the end of the last round of ${this.#name}`,
      withinMs: 120_000,
    })
    if (this.#error) throw this.#error
  }

  get failed(): unknown {
    return this.#error
  }
}

export class Workers {
  readonly #all: Worker[] = []

  add(name: string, round: (index: number) => Promise<unknown>): void {
    this.#all.push(new Worker(name, round))
  }

  get rounds(): number {
    return this.#all.reduce((sum, { rounds }) => sum + rounds, 0)
  }

  /** Resolves when each has done a whole round that began after this call. */
  async allWorked(): Promise<void> {
    const before = this.#all.map(({ rounds }) => rounds)
    const whole = ({ rounds, failed }: Worker, index: number) => failed !== null || rounds > (before[index] ?? 0) + 1
    await eventually(() => this.#all.every(whole), Boolean, { what: 'a round of every worker', withinMs: 120_000 })
  }

  async end(): Promise<void> {
    await Promise.all(this.#all.map(worker => worker.end()))
  }
}
