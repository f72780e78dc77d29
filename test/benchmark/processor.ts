/**
 * What one operation costs in time of the processor: of the node, of its engine process and of the database. Varies far less
 * with the load of the machine than rates do. Read from /proc, in steps of 10 ms; without it nothing is said.
 */
import { readFileSync } from 'node:fs'

const tickMs = 10

interface Spent {
  readonly node: number
  readonly engine: number
  readonly database: number
}

export class ProcessorCost {
  readonly #nodePid: number
  readonly #databasePid: number | null
  #operations = 0
  #spent: Spent = { node: 0, engine: 0, database: 0 }

  /** `databasePid` null: not a server of ours. */
  constructor(nodePid: number, databasePid: number | null) {
    this.#nodePid = nodePid
    this.#databasePid = databasePid
  }

  /** Counts what `work` costs; it gives its operations per second. */
  async of(work: () => Promise<number>): Promise<number> {
    const before = this.#now()
    const begin = performance.now()
    const rate = await work()
    this.#operations += (rate * (performance.now() - begin)) / 1_000
    const after = this.#now()
    this.#spent = {
      node: this.#spent.node + after.node - before.node,
      engine: this.#spent.engine + after.engine - before.engine,
      database: this.#spent.database + after.database - before.database,
    }
    return rate
  }

  /** `329 µs of the node, 12 µs of its engine, 410 µs of the database each`; empty where nothing can be read. */
  toString(): string {
    const each = (spentMs: number) => `${Math.round((1_000 * spentMs) / this.#operations)} µs`
    const { node, engine, database } = this.#spent
    if (node === 0 || this.#operations === 0) return ''
    return [
      `${each(node)} of the node`,
      ...(engine === 0 ? [] : [`${each(engine)} of its engine`]),
      ...(this.#databasePid === null ? [] : [`${each(database)} of the database`]),
    ].join(', ')
  }

  #now(): Spent {
    const engine = childrenOf(this.#nodePid).reduce((sum, pid) => sum + processorMs(pid), 0)
    const database = this.#databasePid === null ? 0 : processorMs(this.#databasePid)
    return { node: processorMs(this.#nodePid), engine, database }
  }
}

/** User and system time of a process so far, all its threads; 0 where there is no /proc or no such process. */
export function processorMs(pid: number): number {
  try {
    // The name, in parentheses, may hold anything; what follows it begins with the third field.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) * tickMs
  } catch {
    return 0
  }
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}
