/**
 * A task that is wanted more often than it has to run: one runs at a time, and all who ask while one runs share the next,
 * which begins after they asked. What they get is as fresh as if each had run it.
 */

export class Coalesced {
  readonly #task: () => Promise<void>
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(task: () => Promise<void>) {
    this.#task = task
  }

  /** Resolves or rejects with a run that began after this call. */
  run(): Promise<void> {
    if (!this.#running) return this.#begin()
    this.#next ??= this.#running.then(
      () => this.#begin(),
      () => this.#begin(),
    )
    return this.#next
  }

  /** Resolves when nothing runs any more; never rejects. */
  async idle(): Promise<void> {
    while (this.#running) await (this.#next ?? this.#running).catch(() => undefined)
  }

  #begin(): Promise<void> {
    this.#next = undefined
    const running = this.#task().finally(() => {
      if (this.#running === running) this.#running = undefined
    })
    this.#running = running
    return running
  }
}
