/** The stream on real nodes: what subscribers see, in which order, and how a connection begins and ends. */
import { once } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { WebSocket } from 'ws'
import { eventually } from '../../support/conditions.ts'
import { TestCluster } from '../../support/nodes.ts'
import { type Frame, StreamClient } from '../../support/wire.ts'

const bodyBytesMax = 2_000_000
const cluster = new TestCluster(null, {
  LENS_LIMITS_SUBSCRIPTIONS_PER_CONNECTION: '4',
  LENS_LIMITS_BODY_BYTES_MAX: String(bodyBytesMax),
  LENS_STREAM_PING_MS: '5000',
  LENS_STREAM_BUFFER_BYTES_MAX: '65536',
})
type Node = Awaited<ReturnType<TestCluster['start']>>
let node: Node
let leaving: Node

test.before(async () => {
  ;[node, leaving] = (await cluster.startAll(2)) as [Node, Node]
})
test.after.always(async t => {
  t.true(node.running)
  t.deepEqual(
    node.log.filter(line => line.level === 'error' || line.level === 'fatal'),
    [],
  )
  await cluster.stop()
})

async function connect(
  t: ExecutionContext,
  options: { token?: string; headers?: Record<string, string>; to?: Node } = {},
) {
  const { to = node, ...rest } = options
  const client = new StreamClient(to.url, rest)
  t.teardown(() => client.terminate())
  await client.opened()
  if (rest.token) await client.frame('ready', frame => frame.type === 'ready')
  return client
}

const queriesOf = (client: StreamClient, id: string) =>
  client.frames.filter(frame => frame.type === 'query' && frame.id === id).map(frame => frame.query)
const versionsOf = (client: StreamClient, id: string, handle: string) =>
  queriesOf(client, id)
    .filter(query => query.handle === handle)
    .map(query => query.version)
const upTo = (version: number, from = 1) => Array.from({ length: version - from + 1 }, (_, index) => from + index)
const ended = (id: string, handle?: string) => (frame: Frame) =>
  frame.type === 'query' &&
  frame.id === id &&
  frame.query.outcome !== null &&
  (handle === undefined || frame.query.handle === handle)

test('a subscriber from the first version on sees every version once, in order, and the last as it is read', async t => {
  const { token } = await node.session('ann')
  const client = await connect(t, { token })
  const { handle } = await node.submit(token, { sql: 'select count(*) from flights' })
  client.send({ type: 'subscribe', id: 'q', topic: 'query', handle: handle.toUpperCase(), after: 0 })
  const last = await client.frame('the end', ended('q'))
  t.deepEqual(versionsOf(client, 'q', handle), upTo(last.query.version))
  t.deepEqual(last.query, await node.query(token, handle))
  t.is(
    client.frames.findIndex(frame => frame.type === 'subscribed'),
    1,
    'right after ready',
  )

  // On the other node, from a version in the middle.
  const other = await connect(t, { token, to: leaving })
  other.send({ type: 'subscribe', id: 'r', topic: 'query', handle, after: 2 })
  await other.frame('the end', ended('r'))
  t.deepEqual(versionsOf(other, 'r', handle), upTo(last.query.version, 3))

  // Without `after`: the current state.
  other.send({ type: 'subscribe', id: 's', topic: 'query', handle })
  await other.frame('the end', ended('s'))
  t.deepEqual(versionsOf(other, 's', handle), [last.query.version])
})

test('the first frame of what runs on this node tells how far it is', async t => {
  const { token } = await node.session('joe')
  const sql = 'select count(*) as n from flights a join airports b on (a.distance * 31 + length(b.iata)) % 1000003 > 5'
  const { handle } = await node.submit(token, { sql })
  const { owner } = await eventually(
    () => node.query(token, handle),
    ({ progress }) => progress.fraction > 0,
  )
  const client = await connect(t, { token, to: owner.node === node.name ? node : leaving })
  client.send({ type: 'subscribe', id: 'p', topic: 'query', handle })
  const first = await client.frame('the present state', frame => frame.type === 'query' && frame.id === 'p')
  t.true(first.query.progress.fraction > 0)
  await node.call('DELETE', `/api/v1/queries/${handle}`, { token })
})

test('a subscriber of a session sees all of its queries, those to come too, and nobody else sees them', async t => {
  const { token } = await node.session('bob')
  const client = await connect(t, { token })
  client.send({ type: 'subscribe', id: 's', topic: 'session' })
  await client.frame('subscribed', frame => frame.type === 'subscribed')
  const stranger = await connect(t, { token: (await node.session('bob')).token })
  stranger.send({ type: 'subscribe', id: 's', topic: 'session' })
  await stranger.frame('subscribed', frame => frame.type === 'subscribed')

  const handles: string[] = []
  for (const [index, where] of [node, leaving, node].entries())
    handles.push((await where.submit(token, { sql: `select ${index}` })).handle)
  for (const handle of handles) {
    const last = await client.frame('the end', ended('s', handle))
    t.deepEqual(versionsOf(client, 's', handle), upTo(last.query.version))
  }
  t.deepEqual(
    stranger.frames.filter(frame => frame.type === 'query'),
    [],
  )
})

test('browsers authenticate by their first frame, and need not wait for ready', async t => {
  const { token } = await node.session('ann')
  const { handle } = await node.submit(token, { sql: 'select 1' })
  const client = await connect(t)
  client.send({ type: 'authenticate', token })
  client.send({ type: 'subscribe', id: 'q', topic: 'query', handle })
  client.send({ type: 'ping' })
  await client.frame('the end', ended('q'))
  await client.frame('pong', frame => frame.type === 'pong')
  t.deepEqual(client.frames[0], { type: 'ready', node: 'n1' })
  client.send({ type: 'authenticate', token })
  const refused = await client.frame('an error', frame => frame.type === 'error')
  t.regex(refused.message, /authenticated already/)
})

test('nothing is answered before authentication', async t => {
  for (const first of [
    { type: 'ping' },
    { type: 'subscribe', id: '1', topic: 'cluster' },
    'no json',
    { type: 'authenticate' },
  ]) {
    const client = await connect(t)
    client.send(first)
    t.is((await client.end()).code, 1008)
    t.deepEqual(
      client.frames.map(frame => frame.type),
      ['error'],
    )
  }
})

test('a wrong token is SESSION_INVALID: as an answer to the upgrade, or as a frame', async t => {
  const client = await connect(t)
  client.send({ type: 'authenticate', token: 'a.b' })
  t.is((await client.end()).code, 1008)
  t.is(client.frames[0]?.code, 'SESSION_INVALID')

  for (const [headers, status, code] of [
    [{ authorization: 'Bearer a.b' }, 401, 'SESSION_INVALID'],
    [{ authorization: 'Basic a' }, 401, 'UNAUTHENTICATED'],
    [{ origin: 'https://evil.example' }, 403, 'FORBIDDEN'],
  ] as const) {
    const socket = new WebSocket(`${node.url.replace('http', 'ws')}/api/v1/stream`, { headers })
    const opened = once(socket, 'open').then(() => {
      socket.terminate()
      throw new Error(`${JSON.stringify(headers)} was let in`)
    })
    const [, response] = await Promise.race([once(socket, 'unexpected-response'), opened])
    opened.catch(() => {})
    const chunks = await response.toArray()
    t.deepEqual([response.statusCode, JSON.parse(Buffer.concat(chunks).toString()).code], [status, code])
  }
})

test('what does not exist, or belongs to someone else, is NOT_FOUND under the id of its frame', async t => {
  const { handle } = await node.submit((await node.session('ann')).token, { sql: 'select 1' })
  const client = await connect(t, { token: (await node.session('eve')).token })
  client.send({ type: 'subscribe', id: 'a', topic: 'query', handle })
  client.send({ type: 'subscribe', id: 'b', topic: 'query', handle: crypto.randomUUID() })
  for (const id of ['a', 'b']) {
    const error = await client.frame('an error', frame => frame.type === 'error' && frame.id === id)
    t.deepEqual([error.code, error.retryable], ['NOT_FOUND', false])
  }
  t.false(client.frames.some(frame => frame.type === 'subscribed'))
  // Their ids are free again.
  client.send({ type: 'subscribe', id: 'a', topic: 'cluster' })
  await client.frame('subscribed', frame => frame.type === 'subscribed' && frame.id === 'a')
})

test('bad frames are answered with an error, and the connection goes on', async t => {
  const { token } = await node.session('ann')
  const client = await connect(t, { token })
  const bad: readonly (readonly [unknown, RegExp, string?])[] = [
    ['{', /expected JSON/],
    ['[]', /expected an object/],
    [{ type: 'nonsense' }, /frame\.type/],
    [{ type: 'subscribe', id: 'x', topic: 'query' }, /frame\.handle: required/, 'x'],
    [{ type: 'unsubscribe', id: 'nobody' }, /open subscription/, 'nobody'],
  ]
  for (const [frame, expected, id] of bad) {
    const before = client.frames.length
    client.send(frame)
    const error = await client.frame('an error', each => client.frames.indexOf(each) >= before)
    t.deepEqual([error.type, error.code, error.id], ['error', 'REQUEST_INVALID', id])
    t.regex(error.message, expected)
  }
  client.send({ type: 'ping' })
  await client.frame('pong', frame => frame.type === 'pong')
})

test('subscriptions of one connection are bounded, and unsubscribing makes room', async t => {
  const { token } = await node.session('ann')
  const client = await connect(t, { token })
  for (const id of ['1', '2', '3', '4']) client.send({ type: 'subscribe', id, topic: 'cluster' })
  await client.frame('the last', frame => frame.type === 'cluster' && frame.id === '4')
  client.send({ type: 'subscribe', id: '4', topic: 'machines' })
  t.regex(
    (await client.frame('an error', frame => frame.type === 'error')).message,
    /frame\.id: expected one that no open/,
  )
  client.send({ type: 'subscribe', id: '5', topic: 'machines' })
  t.regex(
    (await client.frame('an error', frame => frame.type === 'error' && frame.id === '5')).message,
    /at the most 4/,
  )
  client.send({ type: 'unsubscribe', id: '1' })
  client.send({ type: 'subscribe', id: '6', topic: 'machines' })
  const { machines } = await client.frame('machines', frame => frame.type === 'machines' && frame.id === '6')
  t.deepEqual(Object.keys(machines).sort(), ['queries', 'sessions'])
  const { cluster: seen } = client.frames.find(frame => frame.type === 'cluster') as Frame
  t.deepEqual(seen.nodes.map((each: { node: string }) => each.node).sort(), ['n1', 'n2'])
})

test('frames that are due together travel as one array', async t => {
  const { token } = await node.session('ann')
  const client = await connect(t, { token })
  for (let n = 0; n < 50; n++) client.send({ type: 'ping' })
  await eventually(
    () => client.frames.filter(frame => frame.type === 'pong').length,
    count => count === 50,
  )
  t.true(client.messages.length < 25, `${client.messages.length} messages`)
})

test('binary frames, broken UTF-8 and frames that are too large close the connection with their codes', async t => {
  const { token } = await node.session('ann')
  const closing = async (send: (socket: WebSocket) => void) => {
    const client = await connect(t, { token })
    send(client.socket)
    return (await client.end()).code
  }
  t.is(await closing(socket => socket.send(Buffer.from('{"type":"ping"}'))), 1003)
  t.is(await closing(socket => socket.send(Buffer.from([0xff, 0xfe]), { binary: false })), 1007)
  t.is(await closing(socket => socket.send(' '.repeat(bodyBytesMax + 1))), 1009)
})

test('closing the session, on any node, ends its stream', async t => {
  const { token, id } = await node.session('ann')
  const client = await connect(t, { token })
  client.send({ type: 'subscribe', id: 's', topic: 'session' })
  await client.frame('subscribed', frame => frame.type === 'subscribed')
  t.is((await leaving.call('DELETE', `/api/v1/sessions/${id}`, { token })).status, 204)
  t.is((await client.end()).code, 1008)
  t.is(client.frames.at(-1)?.code, 'SESSION_INVALID')
})

test('who does not answer pings is dropped, who does stays', async t => {
  const { token } = await node.session('ann')
  const patient = await connect(t, { token })
  let pings = 0
  patient.socket.on('ping', () => pings++)
  const silent = new WebSocket(`${node.url.replace('http', 'ws')}/api/v1/stream`, {
    autoPong: false,
    headers: { authorization: `Bearer ${token}` },
  })
  t.teardown(() => silent.terminate())
  const [code] = await once(silent, 'close')
  t.is(code, 1006)
  t.true(pings > 0)
  t.is(patient.closed, null)
})

test('a reader that stops reading is closed, keeps what it got, and resumes without a gap', async t => {
  const { token } = await node.session('slow')
  const client = await connect(t, { token })
  client.send({ type: 'subscribe', id: 's', topic: 'session' })
  await client.frame('subscribed', frame => frame.type === 'subscribed')
  client.socket.pause()
  const metric = async (name: string) =>
    Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(await node.metrics())?.[1] ?? 0)
  const slowReaders = () => metric('lens_stream_slow_readers_total')
  const buffered = () => metric('lens_stream_buffered_bytes')
  const handles: string[] = []
  let mostBuffered = 0
  // Each version carries the text: some megabytes fill what the network buffers, then the node's own buffer.
  while ((await slowReaders()) === 0) {
    const { handle } = await node.submit(token, { sql: `select 1 -- ${'x'.repeat(1_000_000)}` })
    handles.push(handle)
    await node.ended(token, handle)
    mostBuffered = Math.max(mostBuffered, await buffered())
  }
  t.true(mostBuffered > 0, 'what the client did not take is in the metrics')
  client.socket.resume()
  const { code } = await client.end()
  // 1013, or the socket was ended under it because the close could not be delivered either.
  t.true(code === 1013 || code === 1006, String(code))
  await eventually(buffered, bytes => bytes === 0)

  const after: Record<string, number> = {}
  for (const handle of handles) {
    const seen = versionsOf(client, 's', handle)
    t.deepEqual(seen, upTo(seen.length))
    // Those that are named with 0 were never seen.
    after[handle] = seen.length
  }
  const again = await connect(t, { token })
  again.send({ type: 'subscribe', id: 's', topic: 'session', after })
  for (const handle of handles) {
    const { version } = await node.query(token, handle)
    await eventually(
      () => [...upTo(after[handle] as number), ...versionsOf(again, 's', handle)],
      versions => versions.length >= version,
    )
    t.deepEqual([...upTo(after[handle] as number), ...versionsOf(again, 's', handle)], upTo(version))
  }
})

test('any frame is answered or refused, and the node lives', async t => {
  const { token } = await node.session('ann')
  const client = await connect(t, { token })
  const word = fc.constantFrom('subscribe', 'unsubscribe', 'ping', 'query', 'session', 'cluster', '__proto__', '')
  const frame = fc.oneof(
    fc.jsonValue().map(value => JSON.stringify(value)),
    fc.string(),
    fc
      .record(
        {
          type: word,
          id: fc.oneof(word, fc.jsonValue()),
          topic: word,
          handle: fc.oneof(fc.uuid(), word),
          after: fc.oneof(fc.integer(), fc.jsonValue()),
        },
        { requiredKeys: [] },
      )
      .map(value => JSON.stringify(value)),
  )
  fc.assert(
    fc.property(frame, text => client.send(text)),
    { numRuns: 500 },
  )
  client.send('{"type":"ping"}')
  await client.frame('pong', each => each.type === 'pong')
  t.is(client.closed, null)
  t.deepEqual(
    [...new Set(client.frames.filter(each => each.type === 'error').map(each => each.code))].filter(
      code => code !== 'NOT_FOUND',
    ),
    ['REQUEST_INVALID'],
  )
})
