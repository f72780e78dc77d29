/** What the same machine and database do with nothing of ours between: the floors that our figures stand beside. */
import { createPool, type Pool, type RowDataPacket } from 'mysql2/promise'
import { closedLoop } from './load.ts'

const rows = 10_000
const pad = 'x'.repeat(300)

export class Floors {
  readonly #pool: Pool
  readonly #forMs: number
  #inserted = 0

  constructor(url: string, forMs: number) {
    this.#pool = createPool({ uri: url, connectionLimit: 64 })
    this.#forMs = forMs
  }

  async prepare(): Promise<void> {
    await this.#pool.query('DROP TABLE IF EXISTS floor_row')
    await this.#pool.query(
      'CREATE TABLE floor_row (id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, epoch INT, version INT, status VARCHAR(16), snapshot JSON)',
    )
    for (let from = 0; from < rows; from += 1_000) {
      const values = Array.from({ length: 1_000 }, (_, index) => [
        idOf(from + index),
        1,
        1,
        'RUNNING',
        JSON.stringify({ pad }),
      ])
      await this.#pool.query('INSERT INTO floor_row VALUES ?', [values])
    }
  }

  /** Single-row compare-and-set updates, each its own commit, on 64 connections. */
  autocommitUpdates(): Promise<number> {
    let next = 0
    return closedLoop(64, this.#forMs, async () => {
      const id = idOf(next++ % rows)
      await this.#pool.execute('UPDATE floor_row SET version = version + 1, snapshot = ? WHERE id = ? AND epoch = 1', [
        JSON.stringify({ pad }),
        id,
      ])
    })
  }

  /** Single-row inserts, each its own commit, on 64 connections. */
  autocommitInserts(): Promise<number> {
    return closedLoop(64, this.#forMs, async () => {
      await this.#pool.execute('INSERT INTO floor_row VALUES (?, 1, 1, ?, ?)', [
        `i${this.#inserted++}`,
        'QUEUED',
        JSON.stringify({ pad }),
      ])
    })
  }

  /** One connection that commits one row after the other: the milliseconds of each. */
  async singleCommits(forMs: number): Promise<number[]> {
    const times: number[] = []
    const end = performance.now() + forMs
    for (let now = performance.now(); now < end; ) {
      await this.#pool.execute('INSERT INTO floor_row VALUES (?, 1, 1, ?, ?)', [
        `i${this.#inserted++}`,
        'QUEUED',
        JSON.stringify({ pad }),
      ])
      const after = performance.now()
      times.push(after - now)
      now = after
    }
    return times
  }

  async pointSelect(id: string): Promise<unknown> {
    const [found] = await this.#pool.execute<RowDataPacket[]>('SELECT version, status FROM floor_row WHERE id = ?', [
      id,
    ])
    return found[0]
  }

  close(): Promise<void> {
    return this.#pool.end()
  }
}

export function idOf(index: number): string {
  return `r${index}`
}
