/**
 * Look-ups that arrive while one is under way share the next: as strict as one by one, since each batch
 * starts after its requests arrived, and an order of magnitude cheaper.
 *
 *     add ──▶ waiting ──(a flight is free)──▶ in flight ──▶ answered
 */

import type { Clock } from './clock.ts'

export interface BatcherOptions<Request, Answer> {
  /** Answers a batch in the order of its requests, or fails it as a whole. An `Error` as an answer rejects that request alone. */
  readonly run: (requests: Request[]) => Promise<readonly (Answer | Error)[]>
  readonly clock: Pick<Clock, 'soon'>
  /** Batches under way at once. */
  readonly flightsMax: number
  /** Requests in one batch. */
  readonly sizeMax: number
  /** Requests waiting at the most; one more is refused with `overflow()`. */
  readonly waitingMax?: number
  readonly overflow?: () => Error
}

interface Waiting<Request, Answer> {
  readonly request: Request
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

export class Batcher<Request, Answer> {
  readonly #options: BatcherOptions<Request, Answer>
  #waiting: Waiting<Request, Answer>[] = []
  #flights = 0
  #scheduled = false

  constructor(options: BatcherOptions<Request, Answer>) {
    this.#options = options
  }

  get waiting(): number {
    return this.#waiting.length
  }

  add(request: Request): Promise<Answer> {
    const { waitingMax = Number.POSITIVE_INFINITY, overflow } = this.#options
    if (this.#waiting.length >= waitingMax) return Promise.reject(overflow?.() ?? new Error('too many requests wait'))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject })
      this.#schedule()
    })
  }

  // Departure waits for the end of the tick, so that requests of one read from the network travel together.
  #schedule(): void {
    if (this.#scheduled || this.#flights >= this.#options.flightsMax || this.#waiting.length === 0) return
    this.#scheduled = true
    this.#options.clock.soon(() => {
      this.#scheduled = false
      this.#depart()
    })
  }

  #depart(): void {
    while (this.#flights < this.#options.flightsMax && this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#options.sizeMax)
      this.#flights++
      void this.#fly(batch).finally(() => {
        this.#flights--
        this.#schedule()
      })
    }
  }

  async #fly(batch: Waiting<Request, Answer>[]): Promise<void> {
    try {
      const answers = await this.#options.run(batch.map(waiting => waiting.request))
      batch.forEach((waiting, index) => {
        const answer = answers[index]
        if (answer instanceof Error) waiting.reject(answer)
        else waiting.resolve(answer as Answer)
      })
    } catch (error) {
      for (const waiting of batch) waiting.reject(error)
    }
  }
}
