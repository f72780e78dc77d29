/**
 * The simulated server beside a real one: random histories of three connections, whose statements must wait, count, find and
 * fail in the same way on both.
 *
 * Left out is what is known to differ (see `database-server.ts`): inserts that fail because their key is there, and several that
 * wait for one row. (That a lock stays which was waited for in vain is not left out, but does not come up in these histories.) A
 * deadlock ends a history: the real server may choose another victim.
 */
import { setImmediate } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import test from 'ava'
import { type Connection, createConnection } from 'mysql2/promise'
import { mysqlDialect, type SqlDialect } from '../../src/store/dialect.ts'
import { storeOn } from '../conformance/store-fixtures.ts'
import { eventually } from '../support/conditions.ts'
import type { Teardown } from '../support/folders.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { emptyDatabase } from './database.ts'
import { DatabaseServer, type ServerRequest } from './database-server.ts'
import { simulatedDialect } from './database-statements.ts'
import { SeededRandom } from './random.ts'
import { Scheduler } from './scheduler.ts'

const databases = mysqlDatabases(test)
const table = '`usage_counter`'
/** The server's list of transactions stays as it is while it is read more often than every 100 ms. */
const periodMs = 110
const histories = 12
const stepsMax = 20

/** What came of a statement; `outcome` null: it waits. */
interface Said {
  readonly text: string
  readonly key: string | null
  simulated: string | null
  real: string | null
}

interface Operation {
  readonly key: string | null
  readonly type: 'begin' | 'commit' | 'rollback' | 'statement'
  readonly sql: (dialect: SqlDialect) => string
  readonly values: string[]
}

const command = (type: 'begin' | 'commit' | 'rollback', sql: string): Operation => ({
  key: null,
  type,
  sql: () => sql,
  values: [],
})
const begin = command('begin', 'START TRANSACTION')
const ends = [command('commit', 'COMMIT'), command('rollback', 'ROLLBACK')]

function statementOf(random: SeededRandom): Operation {
  const key = random.pick(['w', 'x', 'y', 'z', 'new'])
  const guard = random.below(3)
  const one = (sql: (dialect: SqlDialect) => string): Operation => ({ key, type: 'statement', sql, values: [key] })
  const reading = `SELECT \`value\` AS value_ FROM ${table}`
  return random.pick([
    { key: null, type: 'statement', sql: () => `${reading} ORDER BY \`scope\``, values: [] } satisfies Operation,
    one(({ lockShared }) => `${reading} WHERE \`scope\` = ?${lockShared}`),
    one(({ lockExclusive }) => `${reading} WHERE \`scope\` = ?${lockExclusive}`),
    one(() => `UPDATE ${table} SET \`value\` = \`value\` + 1 WHERE \`scope\` = ?`),
    one(() => `UPDATE ${table} SET \`value\` = 5 WHERE \`scope\` = ? AND \`value\` = ${guard}`),
    one(() => `DELETE FROM ${table} WHERE \`scope\` = ?`),
    one(({ keepExisting }) => `INSERT INTO ${table} (\`scope\`, \`value\`) VALUES (?, 0)${keepExisting('`scope`')}`),
  ])
}

const errorText = (error: unknown) => `error ${(error as { errno?: number }).errno ?? error}`
const rowsText = (rows: readonly object[]) => JSON.stringify(rows.map(row => Object.values(row).map(Number)))
/** What an insert that keeps what is there counts differs between the databases, and nobody asks. */
const countText = (sql: string, count: number) => (sql.startsWith('INSERT') ? 'done' : `counts ${count}`)

/** What the server has sent by now is heard. */
async function answersArrived(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await setImmediate()
}

async function realConnections(t: Teardown, url: string): Promise<Connection[]> {
  return Promise.all(
    [0, 1, 2].map(async () => {
      const connection = await createConnection({ uri: url, dateStrings: true })
      t.teardown(() => connection.destroy())
      await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED')
      // Time does not pass in the simulated world meanwhile.
      await connection.query('SET SESSION innodb_lock_wait_timeout = 300')
      return connection
    }),
  )
}

test('waits, counts, finds and fails as a real server', async t => {
  const url = await databases.create(t)
  await storeOn(t, url)
  const watcher = await createConnection(url)
  t.teardown(() => watcher.destroy())
  let waits = 0
  let statements = 0
  let deadlocks = 0
  for (let seed = 0; seed < histories; seed++) {
    const random = new SeededRandom(`history ${seed}`)
    const scheduler = new Scheduler({ seed: '1' })
    const server = new DatabaseServer(scheduler, await emptyDatabase())
    const simulated = [0, 1, 2].map(index => server.connect([String(index)]))
    const real = await realConnections(t, url)
    const said: (Said | null)[] = [null, null, null]
    const open = [false, false, false]
    const history: string[] = []

    const say = (index: number, operation: Operation, number: number) => {
      const { type, sql, values, key } = operation
      // Recognised again in the server's list of transactions.
      const text = `${sql(mysqlDialect)} /* ${seed}.${number} */`
      const one: Said = { text, key, simulated: null, real: null }
      said[index] = one
      open[index] = type === 'begin' || (type === 'statement' && (open[index] as boolean))
      history.push(`${'abc'[index]}: ${text} ${values}`)
      const request: ServerRequest = type === 'statement' ? { type, sql: sql(simulatedDialect), values } : { type }
      server.execute(simulated[index] as (typeof simulated)[0], request, (error, answer) => {
        const isRead = text.startsWith('SELECT')
        if (error !== null) one.simulated = errorText(error)
        else one.simulated = isRead ? rowsText(answer?.rows ?? []) : countText(text, answer?.affected ?? 0)
      })
      ;(real[index] as Connection).query(text, values).then(
        ([answer]) => {
          one.real = Array.isArray(answer)
            ? rowsText(answer as object[])
            : countText(text, (answer as { affectedRows: number }).affectedRows)
        },
        error => {
          one.real = errorText(error)
        },
      )
    }

    /** The real server has answered everybody, or says that they wait. */
    const settled = async () => {
      await answersArrived()
      const silent = said.filter(one => one !== null && one.real === null) as Said[]
      if (silent.length === 0) return true
      const [waiting] = await watcher.query(
        "SELECT trx_query AS query FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'",
      )
      const texts = (waiting as { query: string | null }[]).map(({ query }) => query ?? '')
      return silent.every(({ text, real }) => {
        const mark = text.slice(text.lastIndexOf('/*'))
        return real !== null || texts.some(query => query.includes(mark))
      })
    }

    for (const [number, scope] of ['w', 'x', 'y', 'z'].entries()) {
      const sql = `INSERT INTO ${table} (\`scope\`, \`value\`) VALUES (?, 0)`
      say(0, { key: null, type: 'statement', sql: () => sql, values: [scope] }, -1 - number)
      await eventually(settled, Boolean, { periodMs })
    }
    for (let step = 0; step < stepsMax; step++) {
      const free = [0, 1, 2].filter(index => said[index] === null || said[index]?.real !== null)
      if (free.length === 0) break
      const index = random.pick(free)
      const operation = open[index]
        ? random.chance(0.25)
          ? random.pick(ends)
          : statementOf(random)
        : random.chance(0.6)
          ? begin
          : statementOf(random)
      const awaited = said.filter(one => one?.real === null).map(one => one?.key)
      if (operation.key !== null && awaited.includes(operation.key)) continue
      say(index, operation, step)
      statements++
      await scheduler.run({ untilMs: scheduler.nowMs + 1 })
      const outcomes = (of: 'simulated' | 'real') => said.map(one => one?.[of] ?? null)
      const deadlocked = (of: 'simulated' | 'real') => outcomes(of).includes('error 1213')
      // The server's list of who waits is a moment old: an answer may still be on its way where it says so.
      const agreed = async () =>
        (await settled()) &&
        (deadlocked('simulated') ? deadlocked('real') : isDeepStrictEqual(outcomes('simulated'), outcomes('real')))
      await eventually(agreed, Boolean, {
        periodMs,
        what: () =>
          `${history.join('\n')}\nsimulated ${outcomes('simulated')}\nreal ${outcomes('real')}\nand what is the same`,
      })
      if (deadlocked('simulated')) {
        deadlocks++
        break
      }
      waits += outcomes('real').filter((outcome, of) => outcome === null && said[of] !== null).length
    }
    for (const connection of real) connection.destroy()
    // Their transactions are undone before the next history begins, which would else wait for them.
    await eventually(() => watcher.query(`DELETE FROM ${table}`).then(() => true))
  }
  // The histories are worth something.
  t.true(statements > 100)
  t.true(waits > 10)
  t.log({ histories, statements, waits, deadlocks })
})
