/**
 * Who runs next. Each engine has two lanes, each lane its own queue and slots, so that heavy queries never hold up light ones.
 * Within a lane: higher priority first, then users in turns, then in order of arrival; a query that comes back after a
 * failure goes before its user's others. How many slots this node has is the leader's word (`budget`).
 */
import { type Priority, priorities, type SlotLane } from '../domain/index.ts'

export interface Waiting {
  readonly handle: string
  readonly user: string
  readonly priority: Priority
  /** It has been launched before. */
  readonly returning: boolean
  /** Called with the slot, which must be released. */
  readonly granted: (slot: Slot) => void
}

export interface Slot {
  readonly engine: string
  readonly lane: SlotLane
  /** Safe twice. */
  release(): void
}

/** A lane of an engine as text: key of budgets and counts. */
export function laneKey(engine: string, lane: SlotLane): string {
  return `${engine} ${lane}`
}

class LaneQueue {
  /** By priority, highest first: users in the order of their turns, each with its queue. */
  readonly #turns: Map<string, Waiting[]>[] = priorities.map(() => new Map())
  inUse = 0
  length = 0

  add(waiting: Waiting): void {
    const turns = this.#turnsOf(waiting.priority)
    const queue = turns.get(waiting.user)
    if (!queue) turns.set(waiting.user, [waiting])
    else if (waiting.returning) queue.unshift(waiting)
    else queue.push(waiting)
    this.length++
  }

  remove(waiting: Waiting): void {
    const turns = this.#turnsOf(waiting.priority)
    const queue = turns.get(waiting.user)
    const index = queue?.indexOf(waiting) ?? -1
    if (!queue || index < 0) return
    queue.splice(index, 1)
    this.length--
    if (queue.length === 0) turns.delete(waiting.user)
  }

  next(): Waiting | undefined {
    for (const turns of this.#inOrder()) {
      const first = turns.entries().next()
      if (first.done) continue
      const [user, queue] = first.value
      const waiting = queue.shift()
      turns.delete(user)
      // To the end of the round: the next turn is another user's.
      if (queue.length > 0) turns.set(user, queue)
      if (waiting) this.length--
      return waiting
    }
    return undefined
  }

  /** In the order in which they would be served if nobody else came. */
  *order(): Generator<Waiting> {
    for (const turns of this.#inOrder()) {
      const queues = [...turns.values()]
      for (let round = 0, left = true; left; round++) {
        left = false
        for (const queue of queues) {
          const waiting = queue[round]
          if (!waiting) continue
          left = true
          yield waiting
        }
      }
    }
  }

  #turnsOf(priority: Priority): Map<string, Waiting[]> {
    return this.#turns[priorities.indexOf(priority)] as Map<string, Waiting[]>
  }

  *#inOrder(): Generator<Map<string, Waiting[]>> {
    for (let index = this.#turns.length - 1; index >= 0; index--) yield this.#turns[index] as Map<string, Waiting[]>
  }
}

export class Lanes {
  readonly #budget: (engine: string, lane: SlotLane) => number
  readonly #queues = new Map<string, { engine: string; lane: SlotLane; queue: LaneQueue }>()
  #positions: Map<string, number> | null = null
  #open = false
  #holds = 0

  constructor(budget: (engine: string, lane: SlotLane) => number) {
    this.#budget = budget
  }

  /** Waits for a slot; `granted` may be called before this returns. The answer takes the request back. */
  request(engine: string, lane: SlotLane, waiting: Waiting): () => void {
    const entry = this.#entry(engine, lane)
    entry.queue.add(waiting)
    this.#positions = null
    this.#serve(entry)
    return () => {
      entry.queue.remove(waiting)
      this.#positions = null
    }
  }

  /** A slot without waiting: what an earlier owner launched goes on, whatever the budget says. */
  occupy(engine: string, lane: SlotLane): Slot {
    return this.#slot(this.#entry(engine, lane))
  }

  /** Budgets have changed, or launching is allowed (again). */
  serve(open = this.#open): void {
    this.#open = open
    for (const entry of this.#queues.values()) this.#serve(entry)
  }

  /** Nobody is served until the answer was called as often as this; safe twice. */
  hold(): () => void {
    this.#holds++
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#holds--
      this.serve()
    }
  }

  /** 1 = the next to be served on this node; null when it does not wait. */
  positionOf(handle: string): number | null {
    if (!this.#positions) {
      this.#positions = new Map()
      for (const { queue } of this.#queues.values()) {
        let position = 0
        for (const waiting of queue.order()) this.#positions.set(waiting.handle, ++position)
      }
    }
    return this.#positions.get(handle) ?? null
  }

  /** Slots in use, by `laneKey`. */
  inUse(): ReadonlyMap<string, number> {
    return new Map([...this.#queues].map(([key, { queue }]) => [key, queue.inUse]))
  }

  waiting(engine: string, lane: SlotLane): number {
    return this.#queues.get(laneKey(engine, lane))?.queue.length ?? 0
  }

  /** What the slots of a lane would hold with one more, as a multiple of them: 1 is just full. Infinite where there are none. */
  fullness(engine: string, lane: SlotLane): number {
    const { inUse = 0, length = 0 } = this.#queues.get(laneKey(engine, lane))?.queue ?? {}
    const slots = this.#budget(engine, lane)
    return slots > 0 ? (inUse + length + 1) / slots : Number.POSITIVE_INFINITY
  }

  #entry(engine: string, lane: SlotLane) {
    const key = laneKey(engine, lane)
    let entry = this.#queues.get(key)
    if (!entry) {
      entry = { engine, lane, queue: new LaneQueue() }
      this.#queues.set(key, entry)
    }
    return entry
  }

  #serve(entry: { engine: string; lane: SlotLane; queue: LaneQueue }): void {
    while (this.#open && this.#holds === 0 && entry.queue.inUse < this.#budget(entry.engine, entry.lane)) {
      const waiting = entry.queue.next()
      if (!waiting) return
      this.#positions = null
      waiting.granted(this.#slot(entry))
    }
  }

  #slot(entry: { engine: string; lane: SlotLane; queue: LaneQueue }): Slot {
    entry.queue.inUse++
    let held = true
    return {
      engine: entry.engine,
      lane: entry.lane,
      release: () => {
        if (!held) return
        held = false
        entry.queue.inUse--
        this.#serve(entry)
      },
    }
  }
}
