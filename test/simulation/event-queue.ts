/** Events by virtual time; those of one instant by what was drawn for them. A binary heap. */

export interface QueuedEvent {
  /** Virtual time in milliseconds since the start of the world. */
  dueMs: number
  /** Drawn: decides among events of one instant. */
  draw: number
  /** Decides what the draw does not. */
  number: number
}

function before(a: QueuedEvent, b: QueuedEvent): boolean {
  if (a.dueMs !== b.dueMs) return a.dueMs < b.dueMs
  return a.draw === b.draw ? a.number < b.number : a.draw < b.draw
}

export class EventQueue<Event extends QueuedEvent> {
  readonly #heap: Event[] = []

  get size(): number {
    return this.#heap.length
  }

  get first(): Event | undefined {
    return this.#heap[0]
  }

  push(event: Event): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(event)
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = heap[parent] as Event
      if (!before(event, above)) break
      heap[index] = above
      index = parent
    }
    heap[index] = event
  }

  pop(): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (last === undefined || last === first) return first
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++
      const below = heap[child] as Event
      if (!before(below, last)) break
      heap[index] = below
      index = child
    }
    heap[index] = last
    return first
  }
}
