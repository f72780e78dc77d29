/** Who wants to be told. One listener's failure is its own: it is logged, and the others are told all the same. */
import type { ClusterLog } from './ports.ts'

export class Listeners<Arguments extends readonly unknown[]> {
  readonly #listeners = new Set<(...told: Arguments) => void>()
  readonly #log: ClusterLog

  constructor(log: ClusterLog) {
    this.#log = log
  }

  /** Gives the end of the listening. */
  add(listener: (...told: Arguments) => void): () => void {
    const own = (...told: Arguments) => listener(...told)
    this.#listeners.add(own)
    return () => this.#listeners.delete(own)
  }

  tell(...told: Arguments): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(...told)
      } catch (error) {
        this.#log.error({ err: error }, 'a listener of the cluster failed')
      }
    }
  }
}
