/** The pool below the store on MySQL: what a busy node keeps. */
import test from 'ava'
import { MySqlConnector } from '../../src/store/mysql.ts'
import { mysqlDatabases } from '../support/mysql.ts'

const databases = mysqlDatabases(test)

/** The driver's pool looks once a second at what is free. */
const poolLooksMs = 1_000

test('a node that is busy now and then keeps its connections', async t => {
  const connectionsMax = 8
  const url = await databases.create(t)
  const connector = new MySqlConnector({ url, connectionsMax, silenceMs: 10_000, connectMs: 10_000 })
  t.teardown(() => connector.close())
  await connector.connect()
  const used = new Set<number>()
  const burst = () =>
    Promise.all(
      Array.from({ length: connectionsMax }, async () => {
        const [row] = await connector.statements.rows<{ id: number }>('SELECT CONNECTION_ID() AS id, SLEEP(0.01)')
        used.add(Number(row?.id))
      }),
    )
  // All are free between two bursts, also whenever the pool looks: one is let go then, since all are, and the others stay.
  const begin = performance.now()
  let looks = 0
  while (looks < 3) {
    await burst()
    await new Promise(resolve => setTimeout(resolve, 100))
    looks = Math.floor((performance.now() - begin) / poolLooksMs)
  }
  t.true(used.size <= connectionsMax + looks, `${used.size} connections for ${connectionsMax} at once`)
})
