/**
 * A handle is good for ever and everywhere: whatever it names (a query, an estimate, a plan, a prepared query), whichever node
 * made it, wherever its row is at the moment, and whoever has died meanwhile. And it is good for nobody but its user.
 */
import { isDeepStrictEqual } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { eventually } from '../support/conditions.ts'
import { callsOn, notRefused } from '../support/every-call.ts'
import { directRows, shortStatements } from '../support/flights.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { commitOf, type Matches, MySqlProxy, statementLike } from '../support/mysql-proxy.ts'
import type { NodeProcess } from '../support/nodes.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { endless, sleepingFor } from '../support/sleeping.ts'
import { slotsAreSplit } from '../support/slots.ts'
import { StreamClient } from '../support/wire.ts'
import { Workers } from '../support/workers.ts'

const lightSlots = 6

const shared = sharedCluster(test, {
  nodes: 3,
  // A limit on, so that its counters are kept and can be compared.
  env: { LENS_LIMITS_RUNNING_PER_USER: '1000', LENS_LANES_LIGHT_SLOTS: String(lightSlots) },
})

const nodeOf = (name: string) => shared.node(name)
const anyNode = () => shared.nodes[Math.floor(Math.random() * shared.nodes.length)] as NodeProcess

async function prepare(node: NodeProcess, token: string, sql: string): Promise<any> {
  const { status, body } = await node.call('POST', '/api/v1/prepared-queries', { token, body: { sql } })
  if (status !== 201) throw new Error(`not prepared: ${status} ${JSON.stringify(body)}`)
  return body
}

async function read(node: NodeProcess, token: string, target: string): Promise<any> {
  const { status, body } = await node.call('GET', target, { token })
  if (status !== 200) throw new Error(`${target} at ${node.name}: ${status} ${JSON.stringify(body)}`)
  return body
}

/** All of a query that belongs to its version. */
function asOfVersion({ progress, queuePosition, ...query }: any): any {
  return query
}

test.serial(
  'estimate, explain and prepared handles, made on one node, are read and executed on others before and after its death',
  async t => {
    await shared.restore()
    const [maker, second, third] = [nodeOf('n1'), nodeOf('n2'), nodeOf('n3')]
    const { token } = await maker.session('planner')
    const sql =
      'select origin, count(*)::int n from flights where distance > 900 group by origin order by n desc, origin'
    const withParameters =
      'select origin, max(delay)::int worst from flights where distance > $1 and origin <> $2 group by origin order by origin limit 9'
    const bound = await directRows(withParameters.replace('$1', '1500').replace('$2', "'ATL'"))
    t.true(bound.length > 0)
    const parameters = [1500, 'ATL']

    const estimate = await maker.submit(token, { sql, operation: 'estimate' })
    const explain = await maker.submit(token, { sql, operation: 'explain' })
    const prepared = await prepare(maker, token, withParameters)
    t.is(prepared.parameterCount, 2)
    const executions = `/api/v1/prepared-queries/${prepared.handle}/executions`
    const executed: string[] = []
    const execute = async (node: NodeProcess) => {
      const accepted = await node.call('POST', executions, { token, body: { parameters } })
      t.is(accepted.status, 202)
      executed.push(accepted.body.handle)
      const waited = await node.call('POST', executions, { token, body: { parameters, mode: 'sync' } })
      t.is(waited.status, 200)
      t.deepEqual(waited.body.rows, bound)
      executed.push(waited.body.query.handle)
      await node.ended(token, accepted.body.handle)
      t.deepEqual(await node.rows(token, accepted.body.handle), bound as unknown[][])
      const lacking = await node.call('POST', executions, { token, body: { parameters: [1] } })
      t.deepEqual([lacking.status, lacking.body.code], [400, 'REQUEST_INVALID'])
    }

    const known = new Map<string, unknown>()
    for (const { handle } of [estimate, explain]) {
      known.set(handle, asOfVersion(await second.ended(token, handle)))
      t.is((known.get(handle) as any).status, 'SUCCESSFUL')
    }
    const estimated = (known.get(estimate.handle) as any).estimate
    const plan = (known.get(explain.handle) as any).plan
    t.true(estimated.cost > 0)
    t.is(estimated.lane, 'light')
    t.regex(plan, /GROUP/)
    for (const node of shared.nodes) {
      for (const [handle, query] of known) t.deepEqual(asOfVersion(await node.query(token, handle)), query, node.name)
      t.deepEqual(await read(node, token, `/api/v1/prepared-queries/${prepared.handle}`), prepared, node.name)
      await execute(node)
    }

    await slotsAreSplit(shared.storeUrl, 'light', 3, lightSlots / 3)
    // Every slot is taken, so that what is asked now waits where it was asked.
    const blockers: string[] = []
    for (const node of [maker, second, third])
      for (let index = 0; index < lightSlots / 3; index++)
        blockers.push((await node.submit(token, { sql: endless, lane: 'light' })).handle)
    for (const handle of blockers)
      await eventually(
        () => second.query(token, handle),
        query => query.status === 'RUNNING',
      )
    const waiting = {
      estimate: (await maker.submit(token, { sql, operation: 'estimate' })).handle as string,
      explain: (await maker.submit(token, { sql, operation: 'explain' })).handle as string,
      execution: (await maker.call('POST', executions, { token, body: { parameters } })).body.handle as string,
    }
    const handles = Object.values(waiting)
    for (const node of [second, third])
      for (const handle of handles) t.like(await node.query(token, handle), { status: 'QUEUED', outcome: null })
    const rows = await ask(
      shared.storeUrl,
      'SELECT owner_node FROM current_query WHERE handle IN (?, ?, ?)',
      Object.values(waiting),
    )
    t.deepEqual(
      rows.map(({ owner_node }) => owner_node),
      ['n1', 'n1', 'n1'],
    )

    await maker.kill()
    for (const node of [second, third]) {
      for (const [handle, query] of known) t.deepEqual(asOfVersion(await node.query(token, handle)), query, node.name)
      t.deepEqual(await read(node, token, `/api/v1/prepared-queries/${prepared.handle}`), prepared, node.name)
      for (const handle of handles) t.not((await node.query(token, handle)).status, 'FAILED')
    }
    for (const handle of blockers) await second.call('DELETE', `/api/v1/queries/${handle}`, { token })
    for (const node of [second, third]) {
      const [again, planned, ran] = await Promise.all(handles.map(handle => node.ended(token, handle)))
      t.like(again, { status: 'SUCCESSFUL', operation: 'estimate', estimate: estimated })
      t.like(planned, { status: 'SUCCESSFUL', operation: 'explain', plan })
      t.is(ran.status, 'SUCCESSFUL')
      t.true([again, planned, ran].every(query => query.owner.node !== maker.name))
      t.deepEqual(await node.rows(token, waiting.execution), bound as unknown[][])
      await execute(node)
    }

    t.is((await third.call('DELETE', `/api/v1/prepared-queries/${prepared.handle}`, { token })).status, 204)
    for (const node of [second, third]) {
      t.is((await node.call('GET', `/api/v1/prepared-queries/${prepared.handle}`, { token })).status, 404)
      t.is((await node.call('POST', executions, { token, body: { parameters } })).status, 404)
      t.deepEqual(await node.rows(token, executed[0] as string), bound as unknown[][], 'what it gave stays')
    }
    t.deepEqual(await brokenInvariants(shared.storeUrl, [...known.keys(), ...handles, ...executed, ...blockers]), [])
  },
)

test.serial(
  'a handle that is polled without pause from two nodes is found every time, while it moves between the tables too',
  async t => {
    await shared.restore()
    const pollers = ['n2', 'n3'].map(nodeOf)
    const { token } = await nodeOf('n1').session('poller')
    const acknowledged: string[] = []
    const faults: string[] = []
    const lists = new Workers()
    for (const node of pollers)
      lists.add(`the list of ${node.name}`, async () => {
        const before = acknowledged.slice(-900)
        const { queries } = await read(node, token, '/api/v1/queries?limit=1000')
        const listed = Map.groupBy(queries, ({ handle }: any) => handle)
        for (const handle of before)
          if (listed.get(handle)?.length !== 1)
            faults.push(`${handle} is listed ${listed.get(handle)?.length ?? 0} times by ${node.name}`)
      })
    let polls = 0
    const poll = async (node: NodeProcess, handle: string) => {
      for (let version = 0; ; polls++) {
        const { status, body } = await node.call('GET', `/api/v1/queries/${handle}`, { token })
        if (status !== 200) faults.push(`${handle} at ${node.name}: ${status} ${JSON.stringify(body)}`)
        else if (body.version < version) faults.push(`${handle} at ${node.name}: ${body.version} after ${version}`)
        if (status !== 200 || body.outcome !== null) return
        version = body.version
      }
    }
    for (let round = 0; round < 5; round++)
      await Promise.all(
        Array.from({ length: 25 }, async (_, index) => {
          const { handle } = await nodeOf('n1').submit(token, { sql: shortStatements[index % 5] })
          acknowledged.push(handle)
          await Promise.all(pollers.map(node => poll(node, handle)))
        }),
      )
    await lists.end()
    t.deepEqual(faults, [])
    t.true(polls > acknowledged.length * 2, `${polls} polls`)
    t.true(lists.rounds > 10, `${lists.rounds} lists`)
    t.log(`${polls} polls, ${lists.rounds} lists`)
    t.deepEqual(await brokenInvariants(shared.storeUrl, acknowledged), [])
  },
)

/** Does this again and again until that has come: what a node without a slot was given may have been moved on. */
async function workUntil<T>(reached: Promise<T>, round: () => Promise<unknown>): Promise<T> {
  for (;;) {
    const done = round().then(() => null)
    // Its end comes later than what is waited for, or not at all.
    done.catch(() => {})
    const come = await Promise.race([reached.then(value => ({ value })), done])
    if (come) return come.value
  }
}

/** Where in the move a node is stopped for ever. */
const move = (statement: RegExp): Matches => statementLike(statement)
const points: readonly { readonly title: string; readonly matches: Matches; readonly lost?: boolean }[] = [
  { title: 'before it begins', matches: move(/^UPDATE `current_query`.*'SUCCESSFUL'/s) },
  {
    title: 'after the row was changed',
    matches: request => /^INSERT INTO `query_transition`/.test(request.sql) && /SUCCESSFUL/.test(request.sql),
  },
  { title: 'before it is in the other table', matches: move(/^INSERT INTO `finished_query`/) },
  { title: 'when it is in both', matches: move(/^DELETE .*`current_query`/s) },
  { title: 'before the commit', matches: commitOf(/^INSERT INTO `finished_query`/, /^DELETE .*`current_query`/s) },
  {
    title: 'after the commit, unknown to the node',
    matches: commitOf(/^INSERT INTO `finished_query`/, /^DELETE .*`current_query`/s),
    lost: true,
  },
]

test.serial('kill -9 of the owner at any point of the move leaves each handle in exactly one table', async t => {
  await shared.restore()
  const survivor = nodeOf('n1')
  const { token } = await survivor.session('mover')
  const submitted: { handle: string; sql: string }[] = []
  const statements = [...shortStatements.slice(1, 4), 'select flights from nowhere']
  const killAt = async ({ title, matches, lost }: (typeof points)[number], index: number) => {
    const proxy = await MySqlProxy.start(t, shared.storeUrl)
    const victim = await shared.cluster.start({ name: `mover-${index}`, env: { LENS_STORE_URL: proxy.url } })
    await victim.ready()
    const reached = lost ? proxy.loseAnswerTo(matches) : proxy.stopBefore(matches)
    const request = await workUntil(reached, async () => {
      const batch: string[] = []
      for (const sql of statements) {
        const { handle } = await victim.submit(token, { sql })
        batch.push(handle)
        submitted.push({ handle, sql })
      }
      await Promise.all(batch.map(handle => survivor.ended(token, handle)))
    })
    await victim.kill()
    t.log(
      `${title}: ${[...request.transaction, request.sql].map(sql => sql.slice(0, 40).replace(/\s+/g, ' ')).join(' · ')}`,
    )
  }
  // Three at a time, so that a small machine is not full of nodes.
  for (const half of [points.slice(0, 3), points.slice(3)])
    await Promise.all(half.map(point => killAt(point, points.indexOf(point))))
  for (const { handle, sql } of submitted)
    for (const node of shared.nodes) {
      const { status, error } = await node.ended(token, handle)
      if (/nowhere/.test(sql)) t.deepEqual([status, error.code], ['FAILED', 'SQL_INVALID'])
      else {
        t.is(status, 'SUCCESSFUL')
        t.deepEqual(await node.rows(token, handle), (await directRows(sql)) as unknown[][])
      }
    }
  t.deepEqual(
    await brokenInvariants(
      shared.storeUrl,
      submitted.map(({ handle }) => handle),
    ),
    [],
  )
})

test.serial('kill -9 in the middle of many moves, again and again: none is lost, none is twice', async t => {
  const { token } = await nodeOf('n1').session('mover')
  const submitted: string[] = []
  for (const endedBefore of [1, 8, 20]) {
    await shared.restore()
    const victim = nodeOf('n3')
    const mine = await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const { handle } = await victim.submit(token, { sql: shortStatements[index % 5] })
        submitted.push(handle)
        return handle as string
      }),
    )
    const marks = mine.map(() => '?').join(', ')
    await eventually(
      () => ask(shared.storeUrl, `SELECT handle FROM finished_query WHERE handle IN (${marks})`, mine),
      rows => rows.length >= endedBefore,
      { periodMs: 1 },
    )
    await victim.kill()
  }
  for (const handle of submitted) t.is((await nodeOf('n2').ended(token, handle)).status, 'SUCCESSFUL')
  t.deepEqual(await brokenInvariants(shared.storeUrl, submitted), [])
})

test.serial('what one node answered, every node answers from then on, under load', async t => {
  await shared.restore()
  const { token } = await nodeOf('n1').session('reader')
  const load = new Workers()
  for (const node of shared.nodes)
    load.add(`load on ${node.name}`, async () => {
      const { handle } = await node.submit(token, { sql: 'select 1::int one' })
      await node.ended(token, handle)
    })
  const faults: string[] = []
  let compared = 0
  /** Asks any node, then another: the second knows what the first said. */
  const follow = async (handle: string) => {
    let last: any = null
    for (;;) {
      const node = anyNode()
      const seen = asOfVersion(await node.query(token, handle))
      const say = (what: string) => faults.push(`${what} by ${node.name}: ${JSON.stringify([last, seen])}`)
      if (last && seen.version < last.version) say('an older version')
      if (last && seen.version === last.version && !isDeepStrictEqual(seen, last)) say('another state of the version')
      compared++
      if (last?.outcome && seen.outcome) return
      last = seen
    }
  }
  await Promise.all(
    Array.from({ length: 12 }, async () => {
      for (let round = 0; round < 8; round++) {
        const { handle } = await anyNode().submit(token, { sql: sleepingFor(1 + round) })
        await follow(handle)
        t.is((await anyNode().call('GET', `/api/v1/queries/${handle}/results`, { token })).status, 200)
        t.is((await anyNode().call('DELETE', `/api/v1/queries/${handle}/results`, { token })).status, 204)
        t.is((await anyNode().query(token, handle)).status, 'CLOSED')
        t.is((await anyNode().call('GET', `/api/v1/queries/${handle}/results`, { token })).status, 410)
      }
    }),
  )
  // Sessions: what is submitted anywhere carries what was answered anywhere.
  const session = await anyNode().session('changer')
  for (let round = 1; round <= 30; round++) {
    const value = String(round)
    const { status, body } = await anyNode().call('PATCH', `/api/v1/sessions/${session.id}`, {
      token: session.token,
      body: { properties: { value } },
    })
    t.deepEqual([status, body.properties], [200, { value }])
    t.deepEqual((await read(anyNode(), session.token, `/api/v1/sessions/${session.id}`)).properties, { value })
    const { handle } = await anyNode().submit(session.token, { sql: 'select 1::int one' })
    await anyNode().ended(session.token, handle)
    const [row] = await ask(shared.storeUrl, 'SELECT properties FROM finished_query WHERE handle = ?', [handle])
    t.deepEqual(JSON.parse(row?.properties), { value })
  }
  for (let round = 0; round < 10; round++) {
    const prepared = await prepare(anyNode(), token, 'select 1::int one')
    const target = `/api/v1/prepared-queries/${prepared.handle}`
    t.deepEqual(await read(anyNode(), token, target), prepared)
    t.is((await anyNode().call('DELETE', target, { token })).status, 204)
    t.is((await anyNode().call('GET', target, { token })).status, 404)
  }
  await load.end()
  t.deepEqual(faults, [])
  t.true(load.rounds > 0)
  t.log(`${compared} answers compared, ${load.rounds} queries beside them`)
})

test.serial(
  'what the database has, every node answers, also one that has not heard yet that its own commit succeeded',
  async t => {
    await shared.restore()
    const proxy = await MySqlProxy.start(t, shared.storeUrl)
    const owner = await shared.cluster.start({ name: 'late', env: { LENS_STORE_URL: proxy.url } })
    await owner.ready()
    const { token } = await owner.session('latecomer')
    for (const event of ['LAUNCHED', 'STARTED', 'EXECUTED', 'STORED']) {
      const delay = proxy.delayAnswerTo(
        commitOf(new RegExp(`^INSERT INTO .query_transition.*"type\\\\?":\\\\?"${event}`, 's')),
      )
      let handle = ''
      await workUntil(delay.first, async () => {
        handle = (await owner.submit(token, { sql: sleepingFor(20), lane: 'light' })).handle
        await nodeOf('n1').ended(token, handle)
      })
      const [elsewhere, here] = [await nodeOf('n1').query(token, handle), await owner.query(token, handle)]
      t.true(elsewhere.version > 1, event)
      t.is(here.version, elsewhere.version, `${event}: ${here.status}, ${elsewhere.status}`)
      t.deepEqual(asOfVersion(here), asOfVersion(elsewhere))
      if (elsewhere.status === 'SUCCESSFUL') t.deepEqual(await owner.rows(token, handle), [[true]])
      delay.release()
      t.is((await owner.ended(token, handle)).status, 'SUCCESSFUL')
    }
    await owner.terminate()
  },
)

async function subscriber(
  t: ExecutionContext,
  node: NodeProcess,
  token: string,
  handle: string,
): Promise<StreamClient> {
  const stream = await new StreamClient(node.url, { token }).opened()
  t.teardown(() => stream.terminate())
  const subscriptions = [
    { topic: 'query', handle },
    { topic: 'session', after: { [handle]: 0 } },
    { topic: 'cluster' },
    { topic: 'machines' },
  ]
  for (const subscription of subscriptions) {
    const id = subscription.topic
    stream.send({ type: 'subscribe', id, ...subscription })
    await stream.frame(id, frame => frame.id === id && (frame.type === 'subscribed' || frame.type === 'error'))
  }
  return stream
}

test.serial(
  "nobody reaches another user's session, queries, rows, frames or prepared queries, on any node; admins see all",
  async t => {
    await shared.restore()
    const owner = nodeOf('n3')
    const [secretText, secretName, secretUser] = ['a secret literal', 'a secret name', 'alice-in-secret']
    const alice = await owner.session(secretUser)
    const ended = await owner.submit(
      alice.token,
      { sql: `select '${secretText}' said`, name: secretName },
      { 'idempotency-key': 'shared key' },
    )
    const unfinished = await owner.submit(alice.token, {
      sql: `select '${secretText}' said where sleep_ms(3600000) is null`,
      lane: 'light',
    })
    const prepared = await prepare(owner, alice.token, `select '${secretText}' said`)
    await owner.ended(alice.token, ended.handle)
    await eventually(
      () => owner.query(alice.token, unfinished.handle),
      query => query.status === 'RUNNING',
    )
    const belongings = {
      sessionId: alice.id,
      ended: ended.handle as string,
      unfinished: unfinished.handle as string,
      prepared: prepared.handle as string,
    }
    const bob = await nodeOf('n1').session('bob')
    const admin = await nodeOf('n2').session('admin')
    const notFound = { status: 404, code: 'NOT_FOUND' }
    const watching = new Map<NodeProcess, StreamClient>()
    const seeing = new Map<NodeProcess, StreamClient>()
    for (const node of shared.nodes) {
      watching.set(node, await subscriber(t, node, bob.token, unfinished.handle))
      seeing.set(node, await subscriber(t, node, admin.token, unfinished.handle))
    }

    const lists = ['queries?limit=1000', 'sessions?limit=1000', 'prepared-queries?limit=1000']
    for (const node of shared.nodes) {
      t.deepEqual(await notRefused(node, bob.token, callsOn(belongings), notFound), [], node.name)
      // What exists and what does not cannot be told apart.
      const [existing, other] = await Promise.all(
        [ended.handle, crypto.randomUUID()].map(handle =>
          node.call('GET', `/api/v1/queries/${handle}`, { token: bob.token }),
        ),
      )
      t.deepEqual({ ...existing?.body, requestId: null }, { ...other?.body, requestId: null })
      for (const accept of ['text/csv', 'application/x-ndjson', 'application/vnd.apache.arrow.stream']) {
        const { status } = await node.call('GET', `/api/v1/queries/${ended.handle}/results`, {
          token: bob.token,
          headers: { accept },
        })
        t.is(status, 404, accept)
      }
      for (const list of lists) {
        const text = JSON.stringify(await read(node, bob.token, `/api/v1/${list}`))
        for (const secret of [secretText, secretName, secretUser, ...Object.values(belongings)])
          t.false(text.includes(secret), `${list} at ${node.name}`)
      }
      for (const filter of ['*', secretUser]) {
        const { status, body } = await node.call('GET', `/api/v1/queries?user=${encodeURIComponent(filter)}`, {
          token: bob.token,
        })
        t.deepEqual([status, body.code], [403, 'FORBIDDEN'])
      }
      // A key is its user's.
      const own = await node.submit(bob.token, { sql: 'select 1::int one' }, { 'idempotency-key': 'shared key' })
      t.is(own.user, 'bob')
      t.not(own.handle, ended.handle)

      t.is((await node.query(admin.token, unfinished.handle)).status, 'RUNNING')
      t.deepEqual(await node.rows(admin.token, ended.handle), [[secretText]])
      t.true((await read(node, admin.token, `/api/v1/queries/${ended.handle}/transitions`)).transitions.length > 3)
      t.is((await read(node, admin.token, `/api/v1/sessions/${alice.id}`)).user, secretUser)
      t.is((await read(node, admin.token, `/api/v1/prepared-queries/${prepared.handle}`)).user, secretUser)
      const all = await read(node, admin.token, '/api/v1/queries?user=*&limit=1000')
      const handles = all.queries.map(({ handle }: any) => handle)
      t.true([ended.handle, unfinished.handle, own.handle].every(handle => handles.includes(handle)))
      const sessions = await read(node, admin.token, '/api/v1/sessions?limit=1000')
      t.true([alice.id, bob.id].every(id => sessions.sessions.some((session: any) => session.id === id)))
    }

    // Frames of all kinds: while the query is taken over, and while it ends.
    await owner.kill()
    await eventually(
      () => nodeOf('n1').query(alice.token, unfinished.handle),
      query => query.status === 'RUNNING' && query.owner.node !== owner.name,
    )
    const survivors = shared.nodes
    const on = (streams: ReadonlyMap<NodeProcess, StreamClient>) =>
      survivors.map(node => streams.get(node) as StreamClient)
    for (const stream of on(seeing))
      await stream.frame('the takeover', frame => frame.cluster?.changes?.[0]?.handles.includes(unfinished.handle))
    t.is((await nodeOf('n2').call('DELETE', `/api/v1/queries/${unfinished.handle}`, { token: bob.token })).status, 404)
    t.is(
      (await nodeOf('n2').call('DELETE', `/api/v1/queries/${unfinished.handle}`, { token: admin.token })).status,
      202,
    )
    t.is((await nodeOf('n1').ended(alice.token, unfinished.handle)).status, 'CANCELED')
    for (const stream of on(seeing))
      await stream.frame('its end', frame => frame.query?.handle === unfinished.handle && frame.query.outcome !== null)
    for (const stream of on(watching)) {
      // Whatever they would be told was sent before this.
      stream.send({ type: 'ping' })
      await stream.frame('pong', frame => frame.type === 'pong')
    }
    for (const stream of watching.values()) {
      t.like(
        stream.frames.find(frame => frame.type === 'error'),
        { id: 'query', code: 'NOT_FOUND' },
      )
      t.is(stream.frames.filter(({ type }) => type === 'subscribed').length, 3)
      for (const secret of [secretText, secretName, secretUser, unfinished.handle, ended.handle, alice.id])
        t.false(JSON.stringify(stream.frames).includes(secret), `${secret} in ${JSON.stringify(stream.frames)}`)
    }
    t.true(
      on(watching).every(({ frames }) => frames.some(frame => frame.cluster?.changes?.[0]?.count > 0)),
      'they hear that something was taken over, and not what',
    )
    t.deepEqual(await brokenInvariants(shared.storeUrl, [ended.handle, unfinished.handle]), [])
  },
)
