/**
 * What a long history costs: status and lists on a database with a thousand finished queries and sessions, and on one with a million
 * and a hundred thousand, in turns. The rows are one that a node made, multiplied by the database itself.
 */
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise'
import { FinishedQuery, Session } from '../../../src/store/entities.ts'
import type { NodeProcess } from '../../support/nodes.ts'
import { type Bench, unlimited } from '../bench.ts'
import { HttpClient } from '../http-client.ts'
import { openLoop } from '../load.ts'
import { median, type Row, spreadOf } from '../report.ts'
import { sizeOf } from '../sizes.ts'

const batch = 50_000
const users = 20

interface Ask {
  readonly name: string
  readonly perSecond: number
  /** `random`: of the history, to be made a handle of. */
  readonly path: (handle: () => string) => string
  /** Asked by one who sees everybody's. */
  readonly admin?: true
}

const asks: readonly Ask[] = [
  { name: 'status', perSecond: 200, path: handle => `/api/v1/queries/${handle()}` },
  { name: 'one’s own list', perSecond: 20, path: () => '/api/v1/queries?limit=100' },
  {
    name: 'one’s own unfinished',
    perSecond: 20,
    path: () => '/api/v1/queries?limit=100&status=QUEUED,LAUNCHED,RUNNING',
  },
  { name: 'one’s own failed', perSecond: 20, path: () => '/api/v1/queries?limit=100&status=FAILED' },
  { name: 'everybody’s list', perSecond: 20, path: () => '/api/v1/queries?user=*&limit=100', admin: true },
  { name: 'sessions', perSecond: 20, path: () => '/api/v1/sessions?limit=100', admin: true },
]

/** Two minutes to fill and about one a round of `--rounds`; `LENS_BENCH_FINISHED` queries, a tenth as many sessions. */
export async function measureHistory(bench: Bench): Promise<void> {
  const many = sizeOf(bench, 'FINISHED', 1_000_000, 20_000)
  await bench.withCluster(1, unlimited, (shortCluster, shortUrl) =>
    bench.withCluster(1, unlimited, async (longCluster, longUrl) => {
      const few = await Past.make(shortCluster.nodes[0] as NodeProcess, shortUrl, 1_000, 1_000)
      const lots = await Past.make(longCluster.nodes[0] as NodeProcess, longUrl, many, many / 10)
      for (const ask of asks) bench.tell(await compared(bench, ask, few, lots))
      for (const past of [few, lots]) past.close()
    }),
  )
}

async function compared(bench: Bench, ask: Ask, few: Past, lots: Past): Promise<Row> {
  const floors: number[] = []
  const p99s: number[] = []
  const ratios: number[] = []
  let n = 0
  for (const past of [few, lots]) await past.times(ask, bench.roundMs / 4)
  for (let round = 0; round < bench.rounds; round++) {
    const floor = spreadOf(await few.times(ask, bench.roundMs))
    const measured = spreadOf(await lots.times(ask, bench.roundMs))
    floors.push(floor.p99)
    p99s.push(measured.p99)
    ratios.push(measured.p99 / floor.p99)
    n += measured.n
  }
  const ratio = median(ratios)
  const size = lots.finished.toLocaleString('en')
  return {
    name: `${ask.name} at ${ask.perSecond}/s, p99 with ${size} finished queries`,
    target: '≤ 1.2 × with 1,000',
    measured: `median of ${bench.rounds} rounds ${median(p99s).toFixed(2)} ms, worst ${Math.max(...p99s).toFixed(2)} ms (n = ${n})`,
    floor: `with 1,000: ${median(floors).toFixed(2)} ms, worst ${Math.max(...floors).toFixed(2)} ms`,
    ratio,
    met: ratio <= 1.2,
    figures: [...p99s, ...floors],
  }
}

/** A node whose database has a past. */
class Past {
  readonly finished: number
  readonly #mine: HttpClient
  readonly #admins: HttpClient
  #next = 0

  private constructor(finished: number, mine: HttpClient, admins: HttpClient) {
    this.finished = finished
    this.#mine = mine
    this.#admins = admins
  }

  static async make(node: NodeProcess, storeUrl: string, finished: number, sessions: number): Promise<Past> {
    const { token } = await node.session('user-0')
    const { handle } = await node.submit(token, { sql: 'select 42 as answer', lane: 'light' })
    await node.ended(token, handle)
    const connection = await createConnection({ uri: storeUrl })
    try {
      await multiply(connection, FinishedQuery, handle, finished, number => ({
        handle: handleOf(number),
        user: `CONCAT('user-', MOD(${number}, ${users}))`,
        session_id: `CONCAT('past-', MOD(${number}, ${sessions}))`,
        submitted_at: `submitted_at - 1000 * (${finished} - ${number})`,
        finished_at: `finished_at - 1000 * (${finished} - ${number})`,
      }))
      const [id = ''] = token.split('.')
      await multiply(connection, Session, id, sessions, number => ({
        id: `CONCAT('past-', ${number})`,
        user: `CONCAT('user-', MOD(${number}, ${users}))`,
        created_at: `created_at - 1000 * (${sessions} - ${number})`,
      }))
      await connection.query('ANALYZE TABLE finished_query, session')
    } finally {
      await connection.end()
    }
    const admins = await node.session('admin')
    return new Past(finished, new HttpClient(node.port, 64, token), new HttpClient(node.port, 64, admins.token))
  }

  times({ path, admin, perSecond }: Ask, forMs: number): Promise<number[]> {
    // One's own: every twentieth.
    const handle = () => {
      const number = ((Math.imul(this.#next++, 7919) >>> 0) % (this.finished / users)) * users
      return `${handlePrefix}${number.toString(16).padStart(12, '0')}`
    }
    return openLoop(perSecond, forMs, async () => {
      const { status, text } = await (admin ? this.#admins : this.#mine).call('GET', path(handle))
      if (status !== 200) throw new Error(`${status} ${text}`)
    })
  }

  close(): void {
    this.#mine.close()
    this.#admins.close()
  }
}

/** Handles are UUIDs; these are of the seventh kind, and of no time. */
const handlePrefix = '01900000-0000-7000-8000-'
export const handleOf = (number: string) => `CONCAT('${handlePrefix}', LOWER(LPAD(HEX(${number}), 12, '0')))`

interface Entity {
  readonly meta: {
    readonly tableName: string
    readonly properties: Readonly<Record<string, { readonly fieldNames?: readonly string[]; readonly name: string }>>
  }
}

/** Copies the row with this key `count` times, with other values in the columns that `changes` names, as SQL of a number. */
export async function multiply(
  connection: Connection,
  entity: unknown,
  key: string,
  count: number,
  changes: (number: string) => Readonly<Record<string, string>>,
): Promise<void> {
  const table = (entity as Entity).meta.tableName
  const [columns] = await connection.query<RowDataPacket[]>(`SHOW COLUMNS FROM ${table}`)
  const names = columns.map(({ Field }) => String(Field))
  const changed = changes('number')
  const digits = Array.from({ length: 10 }, (_, digit) => `SELECT ${digit} AS digit`).join(' UNION ALL ')
  const tens = ['a', 'b', 'c', 'd', 'e'].map(name => `(${digits}) ${name}`).join(' CROSS JOIN ')
  for (let from = 0; from < count; from += batch)
    await connection.query(
      `INSERT INTO ${table} (${names.map(name => `\`${name}\``).join(', ')})
       SELECT ${names.map(name => changed[name] ?? `one.\`${name}\``).join(', ')}
       FROM ${table} one JOIN (SELECT ${from} + 10000 * a.digit + 1000 * b.digit + 100 * c.digit + 10 * d.digit + e.digit AS number FROM ${tens}) numbers
       WHERE one.\`${names[0]}\` = ? AND number < ${Math.min(from + batch, count)}`,
      [key],
    )
}
