/** Statements that clients submit, with the rows that each gives: few enough that what they give is recorded once. */
import type { SeededRandom } from '../../simulation/random.ts'

export interface Statement {
  /** Short, unique to the text. */
  readonly name: string
  readonly sql: string
  readonly rows: readonly unknown[]
}

const tags = 6
const known = new Map<string, Statement>()

function remembered(name: string, make: () => Omit<Statement, 'name'>): Statement {
  let statement = known.get(name)
  if (!statement) {
    statement = { name, ...make() }
    known.set(name, statement)
  }
  return statement
}

/** One row, after a while. */
export function sleeping(ms: number, tag: number): Statement {
  return remembered(`sleeping ${ms} ${tag}`, () => ({
    sql: `select sleep_ms(${ms}) is null slept, ${tag}::int tag`,
    rows: [[true, tag]],
  }))
}

/** Many rows at once, in several pages. */
function counting(count: number, tag: number): Statement {
  return remembered(`counting ${count} ${tag}`, () => ({
    sql: `select i::int i, (i * 31 + ${tag})::bigint tagged from range(${count}) r(i) order by i`,
    rows: Array.from({ length: count }, (_, i) => [i, `${i * 31 + tag}`]),
  }))
}

/** Rows that come slowly, for as long as a query with much to read takes. */
function dripping(count: number, tag: number): Statement {
  return remembered(`dripping ${count} ${tag}`, () => ({
    sql: `select i::int i, sleep_ms(4) is null slept, ${tag}::int tag from range(${count}) r(i)`,
    rows: Array.from({ length: count }, (_, i) => [i, true, tag]),
  }))
}

/** Takes a tenth of a second to five seconds, short ones more often; some give many rows. */
export function drawStatement(random: SeededRandom): Statement {
  const tag = random.below(tags)
  const kind = random.fraction()
  if (kind < 0.6) return sleeping(random.pick([100, 200, 400, 700, 1000, 1500, 2500, 5000]), tag)
  if (kind < 0.85) return counting(random.pick([40, 700, 5000]), tag)
  return dripping(random.pick([100, 300]), tag)
}

/** What an engine that only reads must refuse, whatever happens around it. */
export const writing = 'create table written (a int)'
