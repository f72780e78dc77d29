/** The steps of a query in a pipe: one line each, in the form that `lens query --watch` has. */
import type { QueryView } from '../../client/index.ts'
import { changeLine } from '../output/progress.ts'
import type { Terminal } from '../terminal.ts'
import type { Steps } from './watch.ts'

export class LineSteps implements Steps {
  readonly #terminal: Terminal
  #latest: QueryView | null = null

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  begin({ handle }: QueryView): Promise<void> {
    return this.#terminal.out(`query ${handle}\n`)
  }

  async step(query: QueryView): Promise<void> {
    await this.#terminal.out(changeLine(this.#latest, query))
    this.#latest = query
  }

  progress(): void {}

  end(): void {}
}
