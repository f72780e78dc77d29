import test from 'ava'
import { engineConformance } from '../conformance/engines.ts'
import { isolatedPid, killed, memoryBytesOf, openDuckDb } from './support.ts'

const rowCount = 10_000

engineConformance(test, 'duckdb', {
  async open(t) {
    const rows = Array.from({ length: rowCount }, (_, index) => `${index},name ${index % 7}`)
    const { driver, log, pid } = await openDuckDb(t, { 'items.csv': `value,name\n${rows.join('\n')}\n` })
    return {
      driver,
      memoryBytes: () => memoryBytesOf(pid()),
      kill: handle => killed(handle === null ? pid() : isolatedPid(log, handle)),
    }
  },
  numbers: count => `SELECT range AS n FROM range(${count})`,
  endless: 'SELECT count(*) FROM items a, items b, items c WHERE (a.value * 31 + b.value * 7 + c.value) % 1000003 = 5',
  failing: {
    sql: "SELECT CASE WHEN range = 5000000 THEN error('broken at ' || range) ELSE range END FROM range(10000000)",
    message: /broken at 5000000/,
  },
  twoParameters: 'SELECT $1::INTEGER AS a, $2::VARCHAR AS b',
  table: {
    name: 'items',
    columns: [
      { name: 'value', type: 'BIGINT' },
      { name: 'name', type: 'VARCHAR' },
    ],
    rowCount,
  },
})
