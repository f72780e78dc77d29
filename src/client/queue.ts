/** Between what is pushed (frames) and what is pulled (`for await`). Ends when told, or when its reader leaves. */

interface Reader<T> {
  resolve(result: IteratorResult<T>): void
  reject(error: unknown): void
}

export class PushQueue<T> implements AsyncIterableIterator<T> {
  readonly #onLeave: () => void
  readonly #items: T[] = []
  readonly #readers: Reader<T>[] = []
  #end: { readonly error?: unknown } | null = null

  /** `onLeave` is called once: at the end, a failure, or when the reader stops reading. */
  constructor(onLeave: () => void) {
    this.#onLeave = onLeave
  }

  /** The newest item that nobody has read yet. */
  get newest(): T | undefined {
    return this.#items.at(-1)
  }

  push(item: T): void {
    if (this.#end) return
    const reader = this.#readers.shift()
    if (reader) reader.resolve({ done: false, value: item })
    else this.#items.push(item)
  }

  /** Puts `item` in the place of the newest one: for what may be merged while nobody reads. */
  replaceNewest(item: T): void {
    if (this.#items.length > 0) this.#items[this.#items.length - 1] = item
    else this.push(item)
  }

  end(): void {
    this.#finish({})
  }

  /** What was pushed before is still read first. */
  fail(error: unknown): void {
    this.#finish({ error })
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#items.length > 0) return Promise.resolve({ done: false, value: this.#items.shift() as T })
    if (this.#end) {
      const { error } = this.#end
      this.#end = {}
      return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error)
    }
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }))
  }

  return(): Promise<IteratorResult<T>> {
    this.#items.length = 0
    this.#finish({})
    return Promise.resolve({ done: true, value: undefined })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  #finish(end: { readonly error?: unknown }): void {
    if (this.#end) return
    this.#end = end
    const readers = this.#readers.splice(0)
    const first = end.error === undefined ? undefined : readers.shift()
    first?.reject(end.error)
    if (first) this.#end = {}
    for (const reader of readers) reader.resolve({ done: true, value: undefined })
    this.#onLeave()
  }
}
