import { readFile } from 'node:fs/promises'
import test from 'ava'
import { type EngineFixture, engineConformance } from '../conformance/engines.ts'
import { startTrino, type TrinoServer } from '../support/trino/index.ts'
import { homeOf, openTrino } from './trino-support.ts'

const rowCount = 10_000

/** One for all tests: nothing changes it. */
let server: Promise<TrinoServer> | undefined
const over: (() => unknown)[] = []

test.after.always('stop the server', async () => {
  for (const task of over) await task()
})

async function make(): Promise<TrinoServer> {
  const made = await startTrino({ teardown: task => over.push(task) }, { waitMs: 200 })
  await made.sql(`CREATE TABLE items AS SELECT range AS value, 'name ' || range % 7 AS name FROM range(${rowCount})`)
  return made
}

const fixture: EngineFixture = {
  async open(t) {
    server ??= make()
    const made = await server
    const memoryBytes = async () => {
      const [, pages] = (await readFile(`/proc/${made.pid}/statm`, 'utf8')).split(' ')
      return Number(pages) * 4096
    }
    return { driver: await openTrino(t, homeOf(made)), memoryBytes }
  },
  manyRows: 1_000_000,
  numbers: count => `SELECT range AS n FROM range(${count})`,
  endless:
    'SELECT count(*) AS n FROM items a, items b, items c WHERE (a.value * 31 + b.value * 7 + c.value) % 1000003 = 5',
  failing: {
    sql: 'SELECT 9223372036854775000 + range AS n FROM range(1000)',
    message: /out of range/i,
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
}

engineConformance(test, 'trino', fixture)
