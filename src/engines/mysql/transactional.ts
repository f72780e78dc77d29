/**
 * Whether all that a statement may write can be rolled back: tables of InnoDB alone, whatever stands behind its views, triggers and
 * functions. Names decide, without knowing what each of them means in the statement: a table that is merely read, and is of another
 * engine, costs the statement its transaction, never its truth.
 */
import type { Clock } from '../../async/index.ts'
import type { Connections } from './connections.ts'
import { isAway } from './failures.ts'
import { type StatementWords, wordsOf } from './words.ts'

const depthMax = 8
const namesMax = 1000
/** In a function or a trigger: what it runs is known to nobody beforehand. */
const dynamic = ['EXECUTE', 'PREPARE']

const tablesSql = `
  SELECT TABLE_SCHEMA AS db, TABLE_NAME AS name, TABLE_TYPE AS type, ENGINE AS engine FROM information_schema.TABLES
  WHERE TABLE_NAME IN (?) AND (TABLE_SCHEMA = ? OR TABLE_SCHEMA IN (?))
    AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema')`
const textsSql = `
  SELECT VIEW_DEFINITION AS text FROM information_schema.VIEWS
  WHERE TABLE_NAME IN (?) AND (TABLE_SCHEMA = ? OR TABLE_SCHEMA IN (?))
  UNION ALL SELECT ACTION_STATEMENT FROM information_schema.TRIGGERS
  WHERE EVENT_OBJECT_TABLE IN (?) AND (EVENT_OBJECT_SCHEMA = ? OR EVENT_OBJECT_SCHEMA IN (?))
  UNION ALL SELECT ROUTINE_DEFINITION FROM information_schema.ROUTINES
  WHERE ROUTINE_NAME IN (?) AND (ROUTINE_SCHEMA = ? OR ROUTINE_SCHEMA IN (?))`

/**
 * For how long an answer is good for the next statement with the same names: looking costs several times what a short INSERT does, and
 * a table that changes its engine just now could do so between the look and the statement as well.
 */
const keptMs = 1_000
const keptMax = 1_000

interface Kept {
  readonly answer: Promise<boolean>
  readonly lookedAt: number
}

/** What was found out of late about what statements may write. */
export class TransactionalLooks {
  readonly #connections: Connections
  readonly #clock: Clock
  /** By database and names, the oldest first. */
  readonly #kept = new Map<string, Kept>()

  constructor(connections: Connections, clock: Clock) {
    this.#connections = connections
    this.#clock = clock
  }

  /** `database`: where names without one are looked for. Rejects with `unavailable`. */
  isTransactional(words: StatementWords, database: string): Promise<boolean> {
    const key = JSON.stringify([database, [...words.names].sort()])
    const now = this.#clock.monotonic()
    const kept = this.#kept.get(key)
    if (kept && now < kept.lookedAt + keptMs) return kept.answer
    const answer = isTransactional(this.#connections, words, database)
    this.#kept.delete(key)
    this.#kept.set(key, { answer, lookedAt: now })
    answer.catch(() => this.#kept.delete(key))
    for (const [oldest, { lookedAt }] of this.#kept) {
      if (this.#kept.size <= keptMax && now < lookedAt + keptMs) break
      this.#kept.delete(oldest)
    }
    return answer
  }

  /** What is kept was found before something changed. */
  forget(): void {
    this.#kept.clear()
  }
}

async function isTransactional(connections: Connections, words: StatementWords, database: string): Promise<boolean> {
  try {
    return await look((sql, values) => connections.query(sql, values), words, database)
  } catch (error) {
    if (isAway(error)) throw error
    // It cannot be known.
    return false
  }
}

async function look(query: Connections['query'], words: StatementWords, database: string): Promise<boolean> {
  const seen = new Set<string>()
  let names = newNames(words, seen)
  for (let depth = 0; names.length > 0; depth++) {
    if (depth > depthMax || seen.size > namesMax) return false
    const schemas = [...seen]
    const tables = await query(tablesSql, [names, database, schemas])
    for (const { type, engine } of tables) if (type !== 'VIEW' && engine !== 'InnoDB') return false
    const inside = [names, database, schemas]
    const texts = await query(textsSql, [...inside, ...inside, ...inside])
    const further: string[] = []
    for (const { text } of texts) {
      // Somebody else's, not to be read by us.
      if (typeof text !== 'string') return false
      const behind = wordsOf(text)
      if (dynamic.some(word => behind.all.has(word))) return false
      further.push(...newNames(behind, seen))
    }
    names = further
  }
  return true
}

/** `a.b` is two names to the reader of words, so schemas are among them. */
function newNames({ names }: StatementWords, seen: Set<string>): string[] {
  const fresh = [...names].filter(name => name !== '' && name.length <= 64 && !seen.has(name))
  for (const name of fresh) seen.add(name)
  return fresh
}
