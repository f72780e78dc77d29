/** A promise with its handles outside, and a level-triggered wake-up: the two primitives that waits are built from. */

export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
}

export function deferred<T = void>(): Deferred<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  return { promise, resolve, reject }
}

/** Wakes whoever waits. A wake-up that comes while nobody waits is kept for the next wait; several are merged. */
export class WakeUp {
  #pending = false
  #waiting: Deferred<void> | undefined

  wake(): void {
    if (this.#waiting) {
      this.#waiting.resolve()
      this.#waiting = undefined
    } else this.#pending = true
  }

  wait(): Promise<void> {
    if (this.#pending) {
      this.#pending = false
      return Promise.resolve()
    }
    this.#waiting ??= deferred()
    return this.#waiting.promise
  }
}
