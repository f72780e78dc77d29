/** Reads the database again and again, one statement and so one instant each time, and keeps the most that it ever saw. */
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { eventually } from './conditions.ts'

export interface Load {
  /** Rows that hold a slot (LAUNCHED, RUNNING, EXECUTED), by engine and lane: `duckdb heavy`. */
  readonly slots: ReadonlyMap<string, number>
  readonly runningOfUser: ReadonlyMap<string, number>
  readonly queuedOfUser: ReadonlyMap<string, number>
  readonly queuedOfLane: ReadonlyMap<string, number>
}

export class LoadWatch {
  readonly most = {
    slots: newCounts(),
    runningOfUser: newCounts(),
    queuedOfUser: newCounts(),
    queuedOfLane: newCounts(),
  }
  samples = 0
  #over = false
  readonly #done: Promise<void>

  constructor(storeUrl: string) {
    this.#done = this.#watch(storeUrl)
    this.#done.catch(() => {})
  }

  /** Resolves when what is there now has been seen too. */
  async end(): Promise<Load> {
    const before = this.samples
    await Promise.race([this.#done, eventually(() => this.samples > before + 1)])
    this.#over = true
    await this.#done
    return this.most
  }

  async #watch(storeUrl: string): Promise<void> {
    const connection = await createConnection({ uri: storeUrl })
    try {
      while (!this.#over) {
        const [rows] = await connection.query<RowDataPacket[]>(
          'SELECT `user`, lane, engine, status, COUNT(*) AS n FROM current_query GROUP BY 1, 2, 3, 4',
        )
        this.#take(rows)
        this.samples++
      }
    } finally {
      connection.destroy()
    }
  }

  #take(rows: readonly RowDataPacket[]): void {
    const now = { slots: newCounts(), runningOfUser: newCounts(), queuedOfUser: newCounts(), queuedOfLane: newCounts() }
    const add = (counts: Map<string, number>, key: string, n: number) => counts.set(key, (counts.get(key) ?? 0) + n)
    for (const { user, lane, engine, status, n } of rows) {
      if (['LAUNCHED', 'RUNNING', 'EXECUTED'].includes(status)) {
        add(now.slots, `${engine} ${lane}`, Number(n))
        add(now.runningOfUser, user, Number(n))
      } else if (status === 'QUEUED') {
        add(now.queuedOfUser, user, Number(n))
        add(now.queuedOfLane, lane === 'auto' ? 'light' : lane, Number(n))
      }
    }
    for (const kind of ['slots', 'runningOfUser', 'queuedOfUser', 'queuedOfLane'] as const)
      for (const [key, n] of now[kind]) this.most[kind].set(key, Math.max(n, this.most[kind].get(key) ?? 0))
  }
}

function newCounts(): Map<string, number> {
  return new Map()
}
