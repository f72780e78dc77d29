/** Views that were durable when they were kept, by handle; the oldest make room, so that they never take more than they may. */
import type { QueryView } from '../domain/index.ts'

interface Kept {
  readonly epoch: number
  readonly view: QueryView
  readonly characters: number
}

/** What a view takes beside its texts. */
const viewCharacters = 1_000

export class ViewMemory {
  readonly #charactersMax: number
  readonly #kept = new Map<string, Kept>()
  #characters = 0

  constructor(charactersMax: number) {
    this.#charactersMax = charactersMax
  }

  /** The view of just this version; undefined when it is not here. */
  at({ handle, version, epoch }: { handle: string; version: number; epoch: number }): QueryView | undefined {
    const kept = this.#kept.get(handle)
    return kept?.epoch === epoch && kept.view.version === version ? kept.view : undefined
  }

  /** An older version never replaces a newer one. */
  keep(view: QueryView, epoch: number): void {
    const known = this.#kept.get(view.handle)
    if (known && known.view.version > view.version) return
    this.forget(view.handle)
    const characters = viewCharacters + view.sql.length + (view.plan?.length ?? 0)
    this.#kept.set(view.handle, { epoch, view, characters })
    this.#characters += characters
    for (const handle of this.#kept.keys()) {
      if (this.#characters <= this.#charactersMax) break
      this.forget(handle)
    }
  }

  forget(handle: string): void {
    this.#characters -= this.#kept.get(handle)?.characters ?? 0
    this.#kept.delete(handle)
  }
}
