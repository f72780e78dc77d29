/** One key, one query: sent to two nodes at once, and again at every moment of its life, also while it changes tables. */
import test from 'ava'
import { directRows } from '../support/flights.ts'
import { brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'

const databases = mysqlDatabases(test)
const keys = 40

test.serial('the same key sent to two nodes at once, and on until it has ended, gives one query', async t => {
  const cluster = new TestCluster(await databases.create(t), { LENS_LIMITS_RUNNING_PER_USER: '1000' })
  t.teardown(() => cluster.stop())
  const nodes = (await cluster.startAll(2)) as [NodeProcess, NodeProcess]
  const sessions = await Promise.all(nodes.map(node => node.session('ada')))
  const send = (index: number, name: string, sql: string) =>
    (nodes[index] as NodeProcess).call('POST', '/api/v1/queries', {
      token: sessions[index]?.token,
      headers: { 'idempotency-key': name },
      body: { sql, name },
    })
  const sql = 'select count(*) n from flights where distance > 500'
  const expected = await directRows(sql)
  const handles: string[] = []
  for (let turn = 0; turn < keys; turn++) {
    const name = `key-${turn}`
    // Two of each node in one go, so that they also meet in one batch.
    const answers = await Promise.all([0, 1, 0, 1].map(index => send(index, name, sql)))
    let ended = false
    for (let more = 0; more < 3; ) {
      const round = await Promise.all([0, 1].map(index => send(index, name, sql)))
      answers.push(...round)
      // A few more once it has ended: the move between the tables lies between two of these.
      if (ended) more++
      ended ||= round.some(({ body }) => body.outcome !== null)
    }
    t.deepEqual([...new Set(answers.map(({ status }) => status))], [202], JSON.stringify(answers.at(-1)?.body))
    const [handle, ...others] = [...new Set(answers.map(({ body }) => body.handle))]
    t.deepEqual(others, [])
    handles.push(handle)
    const versions = answers.map(({ body }) => body.version)
    t.true(versions.every(version => version >= 1))
    const other = await Promise.all([0, 1].map(index => send(index, name, `${sql} and delay > 0`)))
    t.deepEqual(
      other.map(({ status, body }) => [status, body.code]),
      [
        [409, 'CONFLICT'],
        [409, 'CONFLICT'],
      ],
    )
  }
  const [n1] = nodes
  const token = sessions[0]?.token as string
  const { body } = await n1.call('GET', '/api/v1/queries?limit=1000', { token })
  t.deepEqual(body.queries.map((query: any) => query.handle).sort(), [...handles].sort(), 'and no other')
  for (const handle of handles) {
    t.is((await n1.query(token, handle)).outcome, 'SUCCESSFUL')
    t.deepEqual(await n1.rows(token, handle), expected)
  }
  t.deepEqual(await brokenInvariants(cluster.storeUrl, handles), [])
})
