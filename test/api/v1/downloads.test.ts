/** Whole results over HTTP on a real node: complete, no faster than they are read, and never a part that looks whole. */
import { once } from 'node:events'
import { request } from 'node:http'
import { createInterface } from 'node:readline'
import test from 'ava'
import { TestCluster } from '../../support/nodes.ts'
import { endless } from '../../support/sleeping.ts'

const rowCount = 2_000_000
const cluster = new TestCluster(null)
let node: Awaited<ReturnType<TestCluster['start']>>
let token: string

test.before(async () => {
  node = await cluster.start({ name: 'n1' })
  await node.ready()
  token = (await node.session('ann')).token
})
test.after.always(async t => {
  t.true(node.running)
  await cluster.stop()
})

async function finished(): Promise<string> {
  const sql = `select i::integer as i, 'row ' || i as text from range(${rowCount}) t(i) order by i`
  const { handle } = await node.submit(token, { sql })
  const query = await node.ended(token, handle)
  if (query.outcome !== 'SUCCESSFUL') throw new Error(JSON.stringify(query.error))
  return handle
}

async function download(handle: string, accept = 'application/x-ndjson') {
  const outgoing = request(`${node.url}/api/v1/queries/${handle}/results`, {
    headers: { authorization: `Bearer ${token}`, accept },
  }).end()
  const [response] = await once(outgoing, 'response')
  return { outgoing, response }
}

test('every row arrives once and in order, also when the reader pauses in the middle', async t => {
  const handle = await finished()
  const { response } = await download(handle)
  t.is(response.statusCode, 200)
  t.is(response.headers['transfer-encoding'], 'chunked')
  let next = 0
  for await (const line of createInterface(response)) {
    if (line !== `[${next},"row ${next}"]`) t.fail(`row ${next} is ${line}`)
    next++
    // Others are served while this reader takes nothing.
    if (next === 100_000) {
      response.pause()
      t.is((await node.query(token, handle)).outcome, 'SUCCESSFUL')
      response.resume()
    }
  }
  t.is(next, rowCount)
})

test('a body that cannot be completed is cut, so that it does not look whole', async t => {
  const handle = await finished()
  const { response } = await download(handle)
  await once(response, 'readable')
  // Nobody reads on: the rest is still in the store when its rows are dropped.
  t.is((await node.call('DELETE', `/api/v1/queries/${handle}/results`, { token })).status, 204)
  await t.throwsAsync(response.toArray(), { code: 'ECONNRESET' })
  t.false(response.complete)
})

test('a reader that leaves in the middle is forgotten', async t => {
  const handle = await finished()
  const before = node.log.length
  const { outgoing, response } = await download(handle, 'text/csv')
  await once(response, 'readable')
  outgoing.destroy()
  t.is((await node.query(token, handle)).outcome, 'SUCCESSFUL')
  const { response: again } = await download(handle, 'text/csv')
  let bytes = 0
  for await (const chunk of again) bytes += chunk.length
  t.true(bytes > rowCount * 8)
  t.true(again.complete)
  t.deepEqual(
    node.log.slice(before).filter(line => line.level === 'error'),
    [],
  )
})

test('a client that leaves while its synchronous query runs harms nobody; the query can still be cancelled', async t => {
  const before = node.log.length
  const body = {
    sql: endless,
    mode: 'sync',
    name: 'left alone',
  }
  const controller = new AbortController()
  const answer = node.call('POST', '/api/v1/queries', { token, body, signal: controller.signal })
  const list = async () => (await node.call('GET', '/api/v1/queries?name=left%20alone', { token })).body.queries
  let queries = await list()
  while (queries.length === 0) queries = await list()
  controller.abort()
  await t.throwsAsync(answer, { name: 'AbortError' })
  const [{ handle }] = queries
  await node.call('DELETE', `/api/v1/queries/${handle}`, { token })
  t.is((await node.ended(token, handle)).outcome, 'CANCELED')
  t.deepEqual(
    node.log.slice(before).filter(line => line.level === 'error'),
    [],
  )
})
