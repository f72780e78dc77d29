import test from 'ava'
import { type EngineFixture, engineConformance, transactionalConformance } from '../conformance/engines.ts'
import { postgresDatabases } from '../support/postgresql.ts'
import { openPostgreSql, sqlAt } from './postgresql-support.ts'

const rowCount = 10_000
const databases = postgresDatabases(test)

/** One for all tests: nothing changes it. */
let made: Promise<string> | undefined

async function make(): Promise<string> {
  const url = await databases.create()
  await sqlAt(
    url,
    `CREATE TABLE items (value bigint, name text);
     INSERT INTO items SELECT n, 'name ' || n % 7 FROM generate_series(0, ${rowCount - 1}) n;
     ANALYZE items`,
  )
  return url
}

let tables = 0

const fixture: EngineFixture = {
  async open(t) {
    made ??= make()
    const { driver } = await openPostgreSql(t, await made)
    return { driver, memoryBytes: async () => process.memoryUsage().rss }
  },
  // Not in FROM, where the server would keep them all before it gives the first.
  numbers: count => `SELECT generate_series(0::bigint, ${count - 1}::bigint) AS n`,
  endless: 'SELECT count(*) FROM items a, items b, items c WHERE (a.value * 31 + b.value * 7 + c.value) % 1000003 = 5',
  failing: {
    sql: 'SELECT 1 / (5000000 - n) AS n FROM generate_series(0, 10000000) AS n',
    message: /division by zero/,
  },
  twoParameters: 'SELECT $1::integer AS a, $2::text AS b',
  table: {
    name: 'items',
    columns: [
      { name: 'value', type: 'BIGINT' },
      { name: 'name', type: 'VARCHAR' },
    ],
    rowCount,
  },
  writes: {
    async table() {
      made ??= make()
      const url = await made
      const name = `written_${++tables}`
      await sqlAt(url, `CREATE TABLE ${name} (a integer)`)
      return {
        insert: count => `INSERT INTO ${name} SELECT generate_series(1, ${count})`,
        failing: `INSERT INTO ${name} SELECT 1 / (5 - n) FROM generate_series(1, 9) n`,
        endless: `INSERT INTO ${name} SELECT 1 FROM pg_sleep(600)`,
        count: async () => Number((await sqlAt(url, `SELECT count(*) AS n FROM ${name}`))[0]?.n),
      }
    },
  },
}

engineConformance(test, 'postgresql', fixture)
transactionalConformance(test, 'postgresql', fixture)
