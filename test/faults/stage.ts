/** What a test's teardown is to a run that is not a test: tasks that are done in reverse when it is over, whatever happened. */
import type { Teardown } from '../support/folders.ts'

export class Stage implements Teardown {
  readonly #tasks: (() => unknown)[] = []

  teardown(task: () => unknown): void {
    this.#tasks.push(task)
  }

  /** Every task is tried; rejects with the first failure. */
  async end(): Promise<void> {
    let failure: unknown = null
    for (const task of this.#tasks.splice(0).reverse())
      try {
        await task()
      } catch (error) {
        failure ??= error
      }
    if (failure !== null) throw failure
  }
}
