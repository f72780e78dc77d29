/** A deployment goes over one long query ten times: each drain stops it at its engine and hands it over, and it still ends. */
import test from 'ava'
import { directRows, longStatement } from '../support/flights.ts'
import { Follower } from '../support/follower.ts'
import { brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { startAgain } from '../support/restarts.ts'

const databases = mysqlDatabases(test)
const restarts = 10

test.serial('a query that is handed over ten times ends SUCCESSFUL', async t => {
  const cluster = new TestCluster(await databases.create(t), {
    LENS_DRAIN_GRACE_MS: '50',
    LENS_LIMITS_RUNNING_PER_USER: '1000',
  })
  t.teardown(() => cluster.stop())
  const nodes = await cluster.startAll(3)
  const [first] = nodes
  if (!first) return t.fail()
  const { token } = await first.session('ada')
  // Long enough that no drain comes too late, short enough for the last time.
  const sql = longStatement(500)
  const expected = await directRows(sql)
  const { handle } = await first.submit(token, { sql, name: 'long' })
  const follower = new Follower(first.url, token)
  t.teardown(() => follower.close())
  follower.follow(handle)

  /** Those that are ready by now. */
  const ready = new Set(nodes)
  const starting: Promise<void>[] = []
  const owners: string[] = []
  for (let count = 0; count < restarts; count++) {
    const query = await eventually(`the query runs for the ${count + 1}. time`, async () => {
      const [asked] = [...ready] as [NodeProcess]
      const seen = await asked.query(token, handle)
      if (seen.outcome !== null) throw new Error(`it ended: ${JSON.stringify(seen)}`)
      return seen.status === 'RUNNING' && seen.attempt === count + 1 ? seen : null
    })
    owners.push(query.owner.node)
    const owner = [...ready].find(({ name }) => name === query.owner.node)
    if (!owner) return t.fail('its owner is not ready')
    ready.delete(owner)
    await eventually('another node is ready', () => ready.size > 0)
    t.deepEqual(await owner.terminate(), { code: 0, signal: null })
    // It comes back while the query runs on.
    starting.push(startAgain(cluster, owner).then(node => void ready.add(node)))
  }
  await Promise.all(starting)

  const [last] = cluster.running
  if (!last) return t.fail()
  const ended = await last.ended(token, handle, 120_000)
  t.is(ended.outcome, 'SUCCESSFUL', JSON.stringify(ended.error))
  t.deepEqual(await last.rows(token, handle), expected)
  t.is(ended.attempt, restarts + 1)
  t.deepEqual(
    ended.failedAttempts.map(({ attempt, code, node }: any) => [attempt, code, node]),
    owners.map((node, index) => [index + 1, 'NODE_LOST', node]),
  )
  await eventually('the follower has seen its end', () => follower.complete || follower.failures.length > 0)
  t.deepEqual(follower.faults(), [])
  const { body } = await last.call('GET', '/api/v1/cluster/failovers', { token })
  t.deepEqual(body.failovers, [])
  t.deepEqual(await brokenInvariants(cluster.storeUrl, [handle]), [])
})
