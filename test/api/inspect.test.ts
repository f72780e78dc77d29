/** Inspections on real nodes, mostly by the receiver of `@statelyai/inspect` itself: what it sees, and what it must not. */
import { once } from 'node:events'
import { DatabaseSync } from 'node:sqlite'
import { createWebSocketReceiver, type StatelyInspectionEvent } from '@statelyai/inspect'
import test, { type ExecutionContext } from 'ava'
import { WebSocket } from 'ws'
import { createMachine } from 'xstate'
import { type QueryEvent, queryMachine, replay, sessionMachine } from '../../src/domain/index.ts'
import { freezeWithoutLock } from '../support/freezing.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { endless } from '../support/sleeping.ts'

const bufferBytesMax = 131_072
const cluster = new TestCluster(null, {
  LENS_STREAM_BUFFER_BYTES_MAX: String(bufferBytesMax),
  LENS_DRAIN_GRACE_MS: '100',
  LENS_LIMITS_QUEUED_PER_USER: '0',
})
let node: NodeProcess
/** The one that is frozen for a while. */
const sleeper = 'n3'

test.before(async () => {
  node = await (await cluster.start({ name: 'n1' })).ready()
})
test.after.always(async t => {
  const { running } = node
  await cluster.stop()
  t.true(running)
  // One that slept for longer finds out that nobody answered it meanwhile, and says so.
  const awake = cluster.nodes.filter(({ name }) => name !== sleeper)
  t.deepEqual(
    awake.flatMap(({ log }) => log.filter(line => line.level === 'error' || line.level === 'fatal')),
    [],
  )
})

interface Seen {
  readonly type: StatelyInspectionEvent['type']
  readonly sessionId: string
  readonly name: string
  readonly definition: string
  readonly event: { readonly type: string }
  readonly snapshot: { readonly status: string; readonly value: unknown; readonly context: any }
}

const address = (to: NodeProcess, credentials = '') =>
  `ws://${credentials}${to.url.slice('http://'.length)}/api/v1/inspect`

/** The package's receiver: it is given an address and nothing else, and keeps what it is told. */
function receive(token: string, to = node): Seen[] {
  const seen: Seen[] = []
  createWebSocketReceiver({ server: address(to, `anybody:${token}@`) }).subscribe(event => {
    seen.push(event as unknown as Seen)
  })
  return seen
}

/** A query that runs until it is cancelled; by the time this resolves, the receiver was told of it. */
async function attached(t: ExecutionContext, token: string, to = node): Promise<{ seen: Seen[]; handle: string }> {
  const { handle } = await to.submit(token, { sql: endless })
  t.teardown(() => to.call('DELETE', `/api/v1/queries/${handle}`, { token }).catch(() => {}))
  const seen = receive(token, to)
  await told(seen, handle)
  return { seen, handle }
}

const of = (seen: readonly Seen[], handle: string) => seen.filter(({ sessionId }) => sessionId === handle)
/** Of the actors that were told of. */
const idsOf = (seen: readonly Seen[], machine: 'query' | 'session') =>
  new Set(
    seen
      .filter(({ type, name }) => type === '@xstate.actor' && name.startsWith(`${machine} `))
      .map(({ sessionId }) => sessionId),
  )
const told = (seen: readonly Seen[], handle: string) =>
  eventually('the receiver is told of the actor', () => of(seen, handle)[0])
const done = (seen: readonly Seen[], handle: string) =>
  eventually('the receiver sees the end', () =>
    of(seen, handle).find(({ type, snapshot }) => type === '@xstate.snapshot' && snapshot.status === 'done'),
  )

async function connect(t: ExecutionContext, headers: Record<string, string> = {}, to = node) {
  const socket = new WebSocket(address(to), { headers })
  t.teardown(() => socket.terminate())
  const messages: Seen[] = []
  let closed: { code: number; reason: string } | null = null
  socket.on('error', () => {})
  socket.on('message', data => messages.push(JSON.parse(String(data))))
  socket.on('close', (code, reason) => {
    closed = { code, reason: String(reason) }
  })
  await once(socket, 'open')
  return { socket, messages, closed: () => eventually('the inspection is closed', () => closed) }
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

test('the package’s receiver sees an actor, and every event and snapshot of it to the end', async t => {
  const { token } = await node.session('ann')
  const { seen } = await attached(t, token)
  const { handle } = await node.submit(token, { sql: 'select count(*) from flights' })
  await done(seen, handle)

  const [actor, ...rest] = of(seen, handle)
  t.is(actor?.type, '@xstate.actor')
  t.like(actor, { rootId: handle, id: null, _version: '0.7.2', name: `query ${handle}` })
  t.regex((actor as unknown as { createdAt: string }).createdAt, /^\d{13}$/)
  const machine = createMachine(JSON.parse(actor?.definition ?? ''))
  t.deepEqual(Object.keys(machine.states), Object.keys(queryMachine.states))
  t.deepEqual(machine.events.sort(), queryMachine.events.sort())

  const { transitions } = (await node.call('GET', `/api/v1/queries/${handle}/transitions`, { token })).body
  const events = transitions.map((transition: any) => transition.event.type ?? transition.event)
  t.is(events[0], 'SUBMITTED')
  t.is(events.at(-1), 'STORED')
  t.deepEqual(
    rest.map(({ type, event }) => `${type} ${event.type}`),
    events.flatMap((event: string) => [`@xstate.event ${event}`, `@xstate.snapshot ${event}`]),
  )
  // With what they carried: enough to replay the machine elsewhere.
  const caused = rest
    .filter(({ type }) => type === '@xstate.event')
    .map(({ event }) => event as Record<string, unknown>)
  t.deepEqual(
    [
      ...replay(
        { handle, lane: 'auto', engine: null },
        caused.map(event => event as unknown as QueryEvent),
      ),
    ].map(({ value, context }) => ({ value, context })),
    rest
      .filter(({ type }) => type === '@xstate.snapshot')
      .map(({ snapshot: { value, context } }) => ({ value, context })),
  )
  const snapshots = rest.filter(({ type }) => type === '@xstate.snapshot').map(({ snapshot }) => snapshot)
  for (const [index, { value, context }] of snapshots.entries()) {
    const moment = await node.call('GET', `/api/v1/queries/${handle}/machine?version=${index + 1}`, { token })
    t.deepEqual({ version: index + 1, value, context }, moment.body)
  }
  t.is(snapshots.at(-1)?.value, 'SUCCESSFUL')

  // No actor drops rows: the row alone moves on, and nothing of it lives here to be seen.
  const { length } = of(seen, handle)
  t.is((await node.call('DELETE', `/api/v1/queries/${handle}/results`, { token })).status, 204)
  await done(seen, (await node.submit(token, { sql: 'select 1' })).handle)
  t.is(of(seen, handle).length, length)
})

test('a session is an actor of each node that uses it, with its own definition', async t => {
  const { token, id } = await node.session('nina')
  const { messages } = await connect(t, bearer(token))
  const { definition, snapshot } = await told(messages, id)
  const machine = createMachine(JSON.parse(definition))
  t.deepEqual(
    [Object.keys(machine.states), machine.events.sort()],
    [Object.keys(sessionMachine.states), sessionMachine.events.sort()],
  )
  t.like(snapshot, { status: 'active', value: 'OPEN' })
  const properties = { 'api-key': 'hunter2', zone: 'utc' }
  await node.call('PATCH', `/api/v1/sessions/${id}`, { token, body: { properties } })
  const event = await eventually('the step is told', () =>
    of(messages, id).find(({ type }) => type === '@xstate.event'),
  )
  t.like(event, { event: { type: 'CHANGED', properties: { 'api-key': '[redacted]', zone: 'utc' } } })
  const moment = await node.call('GET', `/api/v1/sessions/${id}/machine`, { token })
  const became = await eventually('and what it became', () =>
    of(messages, id).find(({ type }) => type === '@xstate.snapshot'),
  )
  t.deepEqual({ version: 2, value: became.snapshot.value, context: became.snapshot.context }, moment.body)
})

test('whoever attaches is told of what lives already, and then of its steps', async t => {
  const { token } = await node.session('bob')
  const { handle } = await node.submit(token, { sql: endless })
  await eventually('it runs', async () => (await node.query(token, handle)).status === 'RUNNING')
  const { version } = await node.query(token, handle)
  const seen = receive(token)
  const { type, snapshot } = await told(seen, handle)
  t.is(type, '@xstate.actor')
  t.deepEqual([snapshot.status, snapshot.context.version], ['active', version])
  await node.call('DELETE', `/api/v1/queries/${handle}`, { token })
  t.is((await done(seen, handle)).snapshot.value, 'CANCELED')
  t.is(of(seen, handle).filter(event => event.type === '@xstate.actor').length, 1)
})

test('the end of an actor is the last of it, even when its result is dropped later', async t => {
  const { token } = await node.session('kate')
  const { seen } = await attached(t, token)
  const { handle } = await node.submit(token, { sql: 'select 1' })
  const { event } = await done(seen, handle)
  t.is(event.type, 'STORED')
  const before = of(seen, handle).length
  t.is((await node.call('DELETE', `/api/v1/queries/${handle}/results`, { token })).status, 204)
  // What comes to life afterwards is told of afterwards.
  const later = await node.submit(token, { sql: 'select 1' })
  await done(seen, later.handle)
  t.is(of(seen, handle).length, before)
})

test('nobody sees another user’s actors, but admins see all', async t => {
  const { token } = await node.session('carol')
  const stranger = await attached(t, (await node.session('dave')).token)
  const admin = await attached(t, (await node.session('admin')).token)
  const { handle } = await node.submit(token, { sql: 'select 1' })
  await done(admin.seen, handle)
  // What the stranger submits afterwards comes afterwards.
  const own = await node.submit((await node.session('dave')).token, { sql: 'select 1' })
  await done(stranger.seen, own.handle)
  t.deepEqual(idsOf(stranger.seen, 'query'), new Set([stranger.handle, own.handle]))
  const strangers = idsOf(stranger.seen, 'session')
  t.true(strangers.size > 0)
  const { body } = await node.call('GET', '/api/v1/sessions?limit=100', { token: (await node.session('dave')).token })
  for (const { id } of body.sessions) strangers.delete(id)
  t.deepEqual(strangers, new Set())
})

test('the token comes as Bearer, as password, or by the first frame', async t => {
  const { token } = await node.session('erin')
  const { seen, handle } = await attached(t, token)
  const basic = { authorization: `Basic ${Buffer.from(`:${token}`).toString('base64')}` }
  const byFrame = await connect(t)
  byFrame.socket.send(JSON.stringify({ type: 'authenticate', token }))
  for (const { messages } of [await connect(t, bearer(token)), await connect(t, basic), byFrame])
    t.is((await told(messages, handle)).definition, of(seen, handle)[0]?.definition as string)
})

test('without a token there is nothing to see', async t => {
  const wrong = `${'0'.repeat(8)}-0000-4000-8000-${'0'.repeat(12)}.${'a'.repeat(43)}`
  for (const [authorization, code] of [
    [`Bearer ${wrong}`, 'SESSION_INVALID'],
    [`Basic ${Buffer.from(`x:${wrong}`).toString('base64')}`, 'SESSION_INVALID'],
    [`Basic ${Buffer.from(wrong).toString('base64')}`, 'UNAUTHENTICATED'],
    [`Basic ${Buffer.from('x:').toString('base64')}`, 'UNAUTHENTICATED'],
    ['Digest x', 'UNAUTHENTICATED'],
  ] as const) {
    const { status, body } = await refused(node, { authorization })
    t.deepEqual([status, body.code], [401, code], authorization)
  }
  for (const [frame, reason] of [
    [{ type: 'authenticate', token: wrong }, 'SESSION_INVALID'],
    [{ type: 'ping' }, 'REQUEST_INVALID'],
  ] as const) {
    const { socket, closed, messages } = await connect(t)
    socket.send(JSON.stringify(frame))
    t.deepEqual(await closed(), { code: 1008, reason })
    t.deepEqual(messages, [])
  }
  t.is((await refused(node, { origin: 'https://evil.example' })).status, 403)
})

async function refused(to: NodeProcess, headers: Record<string, string>): Promise<{ status: number; body: any }> {
  const socket = new WebSocket(address(to), { headers })
  const opened = once(socket, 'open').then(() => {
    socket.terminate()
    throw new Error(`${JSON.stringify(headers)} was let in`)
  })
  opened.catch(() => {})
  const [, response] = await Promise.race([once(socket, 'unexpected-response'), opened])
  return { status: response.statusCode, body: JSON.parse(Buffer.concat(await response.toArray()).toString()) }
}

test('many times what a reader may hold up is presented to it, each actor once', async t => {
  const { token, id } = await node.session('frank')
  const handles: string[] = []
  for (let count = 0; count < 150; count++) handles.push((await node.submit(token, { sql: endless })).handle)
  const { messages } = await connect(t, bearer(token))
  await eventually('all are told of', () => idsOf(messages, 'query').size === handles.length)
  const actors = messages.filter(({ type, name }) => type === '@xstate.actor' && name.startsWith('query '))
  t.deepEqual(actors.map(({ sessionId }) => sessionId).sort(), handles.sort())
  t.true(actors.reduce((sum, actor) => sum + JSON.stringify(actor).length, 0) > 5 * bufferBytesMax)
  // Their slots are needed.
  t.is((await node.call('DELETE', `/api/v1/sessions/${id}?cancelQueries=true`, { token })).status, 204)
})

test('a reader who is too slow is sent away, and disturbs nobody', async t => {
  const { token } = await node.session('grace')
  const slow = await connect(t, bearer(token))
  await told(slow.messages, (await node.submit(token, { sql: 'select 1' })).handle)
  // Another user, who is told of none of what fills the buffer: on a busy machine this process reads slowly itself.
  const bystander = await node.session('judy')
  const other = await attached(t, bystander.token)
  slow.socket.pause()
  const slowReaders = async () => Number(/^lens_stream_slow_readers_total (\d+)/m.exec(await node.metrics())?.[1])
  const before = await slowReaders()
  // The kernel takes megabytes before the first byte waits: each of these queries tells of a hundred kilobytes several times.
  const named = (index: number) => `${index} as "${'a column with a long name '.repeat(4)}${index}"`
  const sql = `select ${Array.from({ length: 800 }, (_, index) => named(index))}`
  await eventually('the slow reader is cut off', async () => {
    const { handle } = await node.submit(token, { sql })
    await node.ended(token, handle)
    return (await slowReaders()) > before
  })
  slow.socket.resume()
  // On a busy machine the grace of a closing socket may have run out by now, and nothing was said: when which comes, inspect-slow-reader.test.ts asks.
  const { code } = await slow.closed()
  t.true(code === 1013 || code === 1006, String(code))
  const { handle } = await node.submit(bystander.token, { sql: 'select 1' })
  t.like(await done(other.seen, handle), { event: { type: 'STORED' } })
})

test('the end of the session is the end of the inspection', async t => {
  const { token, id } = await node.session('heidi')
  const { closed } = await connect(t, bearer(token))
  await node.call('DELETE', `/api/v1/sessions/${id}`, { token })
  t.deepEqual(await closed(), { code: 1008, reason: 'SESSION_INVALID' })
})

test('so is its end in the database alone, when no word of it came', async t => {
  const { token, id } = await node.session('leo')
  const { closed } = await connect(t, bearer(token))
  // Holds the row: no leader sweeps it, and tells of that.
  const { handle } = await node.submit(token, { sql: endless })
  using database = new DatabaseSync(cluster.storeUrl.slice('sqlite:'.length), { timeout: 10_000 })
  database.prepare("UPDATE session SET status = 'CLOSING', version = version + 1 WHERE id = ?").run(id)
  t.deepEqual(await closed(), { code: 1008, reason: 'SESSION_INVALID' })
  const admin = await node.session('admin')
  await node.call('DELETE', `/api/v1/queries/${handle}`, { token: admin.token })
})

test.serial('who inspects a node sees what it gets and what it loses, and is sent on when it leaves', async t => {
  const dying = await (await cluster.start({ name: 'n2' })).ready()
  const leaving = await (await cluster.start({ name: sleeper })).ready()
  const { token } = await node.session('ivan')
  const inspected = [await attached(t, token), await attached(t, token, leaving)]
  const { handle } = await dying.submit(token, { sql: endless })
  await eventually('it runs', async () => (await dying.query(token, handle)).status === 'RUNNING')
  t.deepEqual(
    inspected.flatMap(({ seen }) => of(seen, handle)),
    [],
  )
  await dying.kill()
  const actor = await eventually('its next node shows it', () => inspected.flatMap(({ seen }) => of(seen, handle))[0])
  t.is(actor.type, '@xstate.actor')
  t.is(actor.snapshot.context.owner.epoch, 2)
  // As it came to life, before it took a step here.
  const { transitions } = (await node.call('GET', `/api/v1/queries/${handle}/transitions`, { token })).body
  const claimed = transitions.find(({ event }: { event: unknown }) => JSON.stringify(event).includes('CLAIMED'))
  t.is(actor.snapshot.context.version, claimed.version)

  const frozen = await leaving.submit(token, { sql: endless })
  const left = inspected[1]?.seen ?? []
  await told(left, frozen.handle)
  await freezeWithoutLock(leaving, cluster.storeUrl)
  await told(inspected[0]?.seen ?? [], frozen.handle)
  leaving.signal('SIGCONT')
  const last = await eventually('the node that slept shows that it has lost it', () =>
    of(left, frozen.handle).find(({ snapshot }) => snapshot?.status === 'stopped'),
  )
  t.like(last, { type: '@xstate.snapshot', event: { type: 'xstate.stop' } })
  t.is(last.snapshot.context.owner.epoch, 1)

  const { closed } = await connect(t, bearer(token), await leaving.ready())
  leaving.signal('SIGTERM')
  t.deepEqual(await closed(), { code: 1012, reason: 'the node leaves the cluster' })
  await leaving.exited
  for (const running of [handle, frozen.handle]) await node.call('DELETE', `/api/v1/queries/${running}`, { token })
})

test('where the configuration switches it off, there is nothing under the path', async t => {
  const { token } = await node.session('judy')
  const without = await cluster.start({ name: 'n4', env: { LENS_INSPECTOR_ENABLED: 'false' } })
  await without.ready()
  const { status, body } = await refused(without, bearer(token))
  t.deepEqual([status, body.code], [404, 'NOT_FOUND'])
  await without.terminate()
})
