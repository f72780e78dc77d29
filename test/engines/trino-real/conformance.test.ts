import test from 'ava'
import { type EngineFixture, engineConformance } from '../../conformance/engines.ts'
import { openTrino } from '../trino-support.ts'
import { realTrino } from './server.ts'

const server = realTrino()
const table = 'conformance'
const rowCount = 10_000

const made = server.sql(
  `CREATE TABLE memory.default.${table} AS SELECT sequential_number AS value, concat('name ', CAST(sequential_number % 7 AS varchar)) AS name
   FROM TABLE(sequence(start => 0, stop => ${rowCount - 1}))`,
)

const fixture: EngineFixture = {
  async open(t) {
    await made
    return {
      driver: await openTrino(t, `${server.url}/memory/default`),
      memoryBytes: async () => process.memoryUsage().rss,
    }
  },
  manyRows: 1_000_000,
  // Sorted up to a million: beyond that the server would keep them all before it gives the first.
  numbers: count =>
    `SELECT sequential_number AS n FROM TABLE(sequence(start => 0, stop => ${count - 1}))${count <= 1_000_000 ? ' ORDER BY 1' : ''}`,
  endless: `SELECT count(*) AS n FROM ${table} a, ${table} b, ${table} c WHERE (a.value * 31 + b.value * 7 + c.value) % 1000003 = 5`,
  failing: {
    sql: `SELECT 9223372036854775000 + value AS n FROM ${table}`,
    message: /overflow|out of range/i,
  },
  twoParameters: 'SELECT ? AS a, ? AS b',
  table: {
    name: table,
    columns: [
      { name: 'value', type: 'BIGINT' },
      { name: 'name', type: 'VARCHAR' },
    ],
    rowCount,
  },
}

engineConformance(test, 'trino', fixture)
