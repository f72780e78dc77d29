/** The client outlives the nodes: real processes, killed and stopped while it works. */
import test from 'ava'
import { LensClient, LensClientError } from '../../src/client/index.ts'
import { freePort, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { allOf, assertGapFree, clientOf, collected, nodeOf, slowSql } from './support.ts'

// One cluster for all tests, which run one after the other: who was killed by one is started again for the next.
const cluster = new TestCluster(null)
test.after.always(() => cluster.stop())

async function wholeCluster(): Promise<NodeProcess[]> {
  const names = ['n1', 'n2', 'n3'].filter(name => !cluster.running.some(node => node.name === name))
  for (const name of names) await cluster.start({ name })
  await Promise.all(cluster.running.map(node => node.ready()))
  await cluster.settled(3)
  return cluster.running
}

test.serial("changes are gap-free when the subscriber's node is killed, then the owner", async t => {
  const nodes = await wholeCluster()
  const client = clientOf(t, nodes)
  const query = await client.submit(slowSql)
  const killed: string[] = []
  const changes = await collected(query.changes(), async change => {
    if (change.status !== 'RUNNING' || killed.length > 0) return
    const subscribers = nodeOf(client, nodes)
    const owner = nodes.find(node => node.name === change.owner.node)
    for (const node of new Set([subscribers, owner])) {
      killed.push(node?.name ?? '')
      await node?.kill()
    }
  })
  t.true(killed.length > 0)
  await assertGapFree(t, client, changes)
  t.is(changes.at(-1)?.status, 'SUCCESSFUL')
  t.false(killed.includes(changes.at(-1)?.owner.node ?? ''))
  const rows = []
  for await (const row of query.rows()) rows.push(row)
  t.is(rows.length, 1)
})

test.serial('long polls take the place of WebSockets, and miss no version either', async t => {
  const nodes = await wholeCluster()
  const client = clientOf(t, nodes, { WebSocket: null, pollMs: 1_000 })
  const query = await client.submit(slowSql)
  let killed = false
  const changes = await collected(query.changes(), async change => {
    if (change.status !== 'RUNNING' || killed) return
    killed = true
    await nodes.find(node => node.name === change.owner.node)?.kill()
  })
  t.true(killed)
  await assertGapFree(t, client, changes)
  t.is(changes.at(-1)?.status, 'SUCCESSFUL')
})

test.serial('rows are complete and in order when the node that serves them is killed between two pages', async t => {
  const nodes = await wholeCluster()
  const client = clientOf(t, nodes, { pageRows: 500 })
  const seen: unknown[] = []
  let killed = 0
  for await (const [i] of client.query('select i::int as i from range(20000) t(i) order by i')) {
    seen.push(i)
    if (seen.length === 1_700 || seen.length === 9_300) {
      killed++
      await nodeOf(client, nodes).kill()
    }
  }
  t.is(killed, 2)
  t.deepEqual(
    seen,
    Array.from({ length: 20_000 }, (_, index) => index),
  )
})

test.serial(
  'a node that is stopped in order fails no call, and its subscribers resume on a node that they learn of',
  async t => {
    const nodes = await wholeCluster()
    const [first, second] = nodes
    if (!first || !second) return t.fail()
    // Knows only the node that leaves.
    const client = clientOf(t, [first])
    const query = await client.submit(slowSql)
    let stopping: Promise<unknown> | null = null
    const calls = (async () => {
      let answered = 0
      for (; first.running || answered < 20; answered++) {
        const [[one] = []] = await allOf(client.query('select 1::int'))
        t.is(one, 1)
      }
      return answered
    })()
    const changes = await collected(query.changes(), change => {
      if (change.status === 'RUNNING') stopping ??= first.terminate()
    })
    t.true((await calls) >= 20)
    await stopping
    await assertGapFree(t, client, changes)
    t.is(changes.at(-1)?.status, 'SUCCESSFUL')
    t.true(client.endpoints.includes(second.url))
  },
)

test.serial('JSON lines resume on another node where they broke; CSV says that it cannot', async t => {
  const nodes = await wholeCluster()
  const client = clientOf(t, nodes)
  // Larger than what the sockets in between can hold, so that the kill comes in the middle.
  const sql = "select i::int as i, repeat('x', 60) as filling from range(400000) t(i) order by i"
  const query = await client.submit(sql)
  t.is((await query.wait()).status, 'SUCCESSFUL')
  const decoder = new TextDecoder()
  let text = ''
  let killed = false
  const numbers: number[] = []
  for await (const chunk of query.download('ndjson')) {
    text += decoder.decode(chunk, { stream: true })
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) numbers.push(JSON.parse(line).i ?? JSON.parse(line)[0])
    if (!killed) {
      killed = true
      await nodeOf(client, nodes).kill()
    }
  }
  t.is(text, '')
  t.is(numbers.length, 400_000)
  t.is(
    numbers.findIndex((number, index) => number !== index),
    -1,
  )

  const failure = await t.throwsAsync(async () => {
    let cut = false
    for await (const chunk of query.download('csv')) {
      t.true(chunk.length > 0)
      if (!cut) await nodeOf(client, nodes).kill()
      cut = true
    }
  })
  t.is((failure as LensClientError).code, 'DOWNLOAD_INTERRUPTED')
})

test.serial('the cluster is watched across the death of the node that told of it', async t => {
  const nodes = await wholeCluster()
  const client = clientOf(t, nodes)
  await client.open()
  let victim: string | null = null
  for await (const cluster of client.subscribeCluster()) {
    const alive = cluster.nodes.filter(node => node.state === 'alive').map(node => node.node)
    if (victim === null) {
      t.is(alive.length, 3)
      const node = nodeOf(client, nodes)
      victim = node.name
      await node.kill()
    } else if (alive.length === 2 && cluster.leader !== null && cluster.leader.node !== victim) {
      t.false(alive.includes(victim))
      break
    }
  }
})

test.serial(
  'where nobody listens it says so within its deadline, and a server that comes up in time is found',
  async t => {
    const port = await freePort()
    const unreachable = new LensClient({
      endpoints: [`http://127.0.0.1:${port}`],
      user: 'ada',
      retry: { deadlineMs: 300 },
    })
    const failure = await t.throwsAsync(unreachable.open(), { instanceOf: LensClientError })
    t.is(failure?.code, 'UNREACHABLE')
    t.true(failure?.retryable)
    await unreachable.close()
    await t.throwsAsync(unreachable.open(), { instanceOf: LensClientError, message: /CLIENT_CLOSED/ })
  },
)
