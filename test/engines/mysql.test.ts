import test from 'ava'
import { type EngineFixture, engineConformance, transactionalConformance } from '../conformance/engines.ts'
import { createDatabase, MySqlServer } from '../support/mysql.ts'
import { openMySql, sqlAt } from './mysql-support.ts'

const rowCount = 10_000

/** One for all tests: nothing changes it. */
let server: Promise<MySqlServer> | undefined
let made: Promise<string> | undefined

test.after.always('stop MySQL', async () => (await server)?.destroy())

async function make(): Promise<string> {
  server ??= MySqlServer.start()
  const url = await createDatabase({ teardown: () => {} }, (await server).url)
  await sqlAt(
    url,
    `CREATE TABLE items (value bigint, name text);
     INSERT INTO items WITH RECURSIVE numbers AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 999)
       SELECT a.n * 10 + b.n, CONCAT('name ', (a.n * 10 + b.n) % 7) FROM numbers a, numbers b WHERE b.n < 10;
     CREATE TABLE thousand (n bigint PRIMARY KEY);
     INSERT INTO thousand SELECT value FROM items WHERE value < 1000;
     ANALYZE TABLE items, thousand`,
  )
  return url
}

let tables = 0

const fixture: EngineFixture = {
  async open(t) {
    made ??= make()
    const { driver } = await openMySql(t, await made)
    return { driver, memoryBytes: async () => process.memoryUsage().rss }
  },
  // Sorted up to a million: beyond that the server would keep them all before it gives the first.
  numbers(count) {
    if (count <= 1_000) return `SELECT n FROM thousand WHERE n < ${count} ORDER BY n`
    const [two, three] = ['a.n * 1000 + b.n', 'a.n * 1000000 + b.n * 1000 + c.n']
    if (count <= 1_000_000) return `SELECT ${two} AS n FROM thousand a, thousand b WHERE ${two} < ${count} ORDER BY 1`
    return `SELECT ${three} AS n FROM thousand a, thousand b, thousand c LIMIT ${count}`
  },
  endless: 'SELECT count(*) FROM items a, items b, items c WHERE (a.value * 31 + b.value * 7 + c.value) % 1000003 = 5',
  failing: {
    sql: 'SELECT 9223372036854775000 + n FROM thousand',
    message: /out of range/,
  },
  twoParameters: 'SELECT ? AS a, ? AS b',
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
      await sqlAt(url, `CREATE TABLE ${name} (a integer) ENGINE = InnoDB`)
      return {
        insert: count => `INSERT INTO ${name} SELECT n + 1 FROM thousand WHERE n < ${count}`,
        // The first row is in by then.
        failing: `INSERT INTO ${name} SELECT n * 1000000000 FROM thousand ORDER BY n`,
        endless: `INSERT INTO ${name} SELECT SLEEP(600)`,
        count: async () => Number((await sqlAt(url, `SELECT COUNT(*) AS n FROM ${name}`))[0]?.n),
      }
    },
  },
}

engineConformance(test, 'mysql', fixture)
transactionalConformance(test, 'mysql', fixture)
