/**
 * Sessions belong to the database, not to a node: what it says of one, every node says, whatever a node remembers. Every cell
 * of the table (row or none, remembered or not, newer, closing, expired), on nodes that know the session and on nodes that do not.
 */
import { randomUUID } from 'node:crypto'
import test from 'ava'
import { eventually } from '../support/conditions.ts'
import { type Belongings, stillGoodFor } from '../support/every-call.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import type { NodeProcess } from '../support/nodes.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { endless, sleepingFor } from '../support/sleeping.ts'
import { StreamClient } from '../support/wire.ts'
import { Workers } from '../support/workers.ts'

/** Of the sessions that are opened on n3; longer than any pause of a busy machine. */
const shortIdleMs = 4_000

const shared = sharedCluster(test, {
  nodes: 3,
  // A limit on, so that its counters are kept and can be compared.
  env: { LENS_LIMITS_RUNNING_PER_USER: '1000' },
  envOf: { n3: { LENS_SESSIONS_IDLE_MS: String(shortIdleMs) } },
})

interface Opened {
  readonly id: string
  readonly token: string
}

const properties = { region: 'north', colour: 'blue' }
const names = ['n1', 'n2'] as const
const nodeOf = (name: string) => shared.node(name)

/** Somebody with another session, whose things the tests reach for with tokens that must not be good for them. */
async function belongingsOf(user: string): Promise<Belongings & { readonly token: string }> {
  const node = nodeOf('n1')
  const { id, token } = await node.session(user)
  const ended = await node.submit(token, { sql: 'select 1::int one' })
  const unfinished = await node.submit(token, { sql: endless, lane: 'light' })
  const prepared = await node.call('POST', '/api/v1/prepared-queries', { token, body: { sql: 'select 2::int two' } })
  await node.ended(token, ended.handle)
  return { sessionId: id, token, ended: ended.handle, unfinished: unfinished.handle, prepared: prepared.body.handle }
}

/** What the session of this token gives to a query that is submitted here. */
async function givesAt(node: NodeProcess, { id, token }: Opened): Promise<unknown> {
  const { handle, sessionId } = await node.submit(token, { sql: 'select 1::int one' })
  await node.ended(token, handle)
  const [row] = await ask(
    shared.storeUrl,
    'SELECT database_name, properties FROM finished_query WHERE handle = ? AND session_id = ?',
    [handle, id],
  )
  return { sessionId, database: row?.database_name, properties: JSON.parse(row?.properties ?? 'null') }
}

function withWrongSecret(token: string): string {
  const [id, secret] = token.split('.') as [string, string]
  return `${id}.${secret.slice(0, -2)}${secret.endsWith('AA') ? 'BB' : 'AA'}`
}

interface Cell {
  readonly title: string
  /** Brings a session that was opened on n1 there; gives what a query gets of it, or null when it counts as absent. */
  arrange(session: Opened, user: string): Promise<unknown>
}

const asOpened = { database: 'main', properties }
const remember = async (session: Opened, ...nodes: string[]) => {
  for (const name of nodes) await nodeOf(name).call('GET', `/api/v1/sessions/${session.id}`, { token: session.token })
}

const cells: readonly Cell[] = [
  { title: 'a row, remembered by the node that opened it, unknown to the other', arrange: async () => asOpened },
  {
    title: 'a row, remembered by both',
    async arrange(session) {
      await remember(session, ...names)
      return asOpened
    },
  },
  {
    title: 'a row that is newer than what the other remembers',
    async arrange(session) {
      await remember(session, ...names)
      const change = { database: null, properties: { region: 'south', colour: null, size: '9' } }
      for (const name of names) {
        const { status } = await nodeOf(name).call('PATCH', `/api/v1/sessions/${session.id}`, {
          token: session.token,
          body: { ...change, properties: { ...change.properties, by: name } },
        })
        if (status !== 200) throw new Error(`not changed: ${status}`)
      }
      return { database: null, properties: { region: 'south', size: '9', by: 'n2' } }
    },
  },
  {
    title: 'a row that changed without a word to any node',
    async arrange(session) {
      await remember(session, ...names)
      const changed = { changed: 'behind their backs' }
      await ask(
        shared.storeUrl,
        'UPDATE session SET version = version + 1, database_name = NULL, properties = ? WHERE id = ?',
        [JSON.stringify(changed), session.id],
      )
      return { database: null, properties: changed }
    },
  },
  {
    title: 'no row any more, remembered by both: closed on one',
    async arrange(session) {
      await remember(session, ...names)
      const { status } = await nodeOf('n2').call('DELETE', `/api/v1/sessions/${session.id}`, { token: session.token })
      if (status !== 204) throw new Error(`not closed: ${status}`)
      return null
    },
  },
  {
    title: 'no row any more, remembered by both: gone without a word to any node',
    async arrange(session) {
      await remember(session, ...names)
      await ask(shared.storeUrl, 'DELETE FROM session WHERE id = ?', [session.id])
      return null
    },
  },
  {
    title: 'closing, as its query still runs; remembered by the one, unknown to the other',
    async arrange(session) {
      const { handle } = await nodeOf('n1').submit(session.token, { sql: endless, lane: 'light' })
      await nodeOf('n1').call('DELETE', `/api/v1/sessions/${session.id}`, { token: session.token })
      const rows = await ask(shared.storeUrl, 'SELECT status FROM session WHERE id = ?', [session.id])
      const queries = await ask(shared.storeUrl, 'SELECT cancel_requested FROM current_query WHERE handle = ?', [
        handle,
      ])
      if (rows[0]?.status !== 'CLOSING' || queries[0]?.cancel_requested !== 0)
        throw new Error(`${JSON.stringify([rows, queries])}`)
      return null
    },
  },
  {
    title: 'closing, without a word to any node',
    async arrange(session) {
      await remember(session, 'n1')
      await ask(shared.storeUrl, "UPDATE session SET status = 'CLOSING', version = version + 1 WHERE id = ?", [
        session.id,
      ])
      return null
    },
  },
  {
    title: 'expired, its row not swept yet; remembered by the one, unknown to the other',
    async arrange(session) {
      await ask(
        shared.storeUrl,
        'UPDATE session SET last_used_at = created_at - idle_ms * 2, sweep_at = created_at - 1 WHERE id = ?',
        [session.id],
      )
      return null
    },
  },
  {
    title: 'neither a row nor a memory',
    async arrange() {
      return null
    },
  },
]

for (const { title, arrange } of cells)
  test.serial(`${title}: the row decides, with the right secret and with a wrong one`, async t => {
    await shared.restore()
    const user = `cell-${randomUUID()}`
    const { token: watching, ...belongings } = await belongingsOf(user)
    const opened = await nodeOf('n1').session(user, { database: 'main', properties })
    const session = title.startsWith('neither')
      ? { id: randomUUID(), token: opened.token.replace(opened.id, randomUUID()) }
      : opened
    const expected = await arrange(session, user)
    for (const name of names) {
      const node = nodeOf(name)
      // The wrong secret first, at a node that has to build the session from its row, and after it.
      t.deepEqual(await stillGoodFor(node, withWrongSecret(session.token), belongings), [], `${name}, wrong secret`)
      if (expected === null) t.deepEqual(await stillGoodFor(node, session.token, belongings), [], name)
      else t.deepEqual(await givesAt(node, session), { sessionId: session.id, ...(expected as object) }, name)
      t.deepEqual(await stillGoodFor(node, withWrongSecret(session.token), belongings), [], `${name}, wrong again`)
    }
    // Nothing of all that was refused has had an effect.
    const { status, outcome } = await nodeOf('n2').query(watching, belongings.unfinished)
    t.deepEqual([status === 'CANCELED', outcome], [false, null])
    t.is((await nodeOf('n2').query(watching, belongings.ended)).status, 'SUCCESSFUL')
    const prepared = await nodeOf('n2').call('GET', `/api/v1/prepared-queries/${belongings.prepared}`, {
      token: watching,
    })
    t.is(prepared.status, 200)
    const [{ properties: kept } = {}] = await ask(shared.storeUrl, 'SELECT properties FROM session WHERE id = ?', [
      belongings.sessionId,
    ])
    t.is(kept, '{}')
    t.is(
      (await ask(shared.storeUrl, 'SELECT 1 FROM session_transition WHERE session_id = ?', [belongings.sessionId]))
        .length,
      1,
    )
    for (const { handle } of await ask(shared.storeUrl, 'SELECT handle FROM current_query WHERE user = ?', [user]))
      await nodeOf('n1').call('DELETE', `/api/v1/queries/${handle}`, { token: watching })
  })

test.serial('a session lives as long as it is used anywhere; one that nobody used is refused by all', async t => {
  await shared.restore()
  const leader = await shared.cluster.leader()
  const opener = nodeOf('n3')
  const user = 'resting'
  const { token: watching, ...belongings } = await belongingsOf(user)
  const open = () => opener.session(user)
  const [used, subscribed, polling, querying] = await Promise.all([open(), open(), open(), open()])
  // The node that sweeps remembers them as they were.
  for (const { id, token } of [used, subscribed, polling, querying])
    await leader.call('GET', `/api/v1/sessions/${id}`, { token })
  const elsewhere = shared.nodes.find(node => node !== leader && node !== opener) as NodeProcess

  const stream = await new StreamClient(elsewhere.url, { token: subscribed.token }).opened()
  t.teardown(() => stream.terminate())
  stream.send({ type: 'subscribe', id: 'all', topic: 'session' })
  await stream.frame('subscribed', frame => frame.type === 'subscribed')
  const leaving = new AbortController()
  const { version } = await eventually(
    () => elsewhere.query(watching, belongings.unfinished),
    query => query.status === 'RUNNING',
  )
  const poll = elsewhere
    .call('GET', `/api/v1/queries/${belongings.unfinished}?after=${version}&waitMs=60000`, {
      token: polling.token,
      signal: leaving.signal,
    })
    .then(answer => JSON.stringify(answer))
    .catch(() => 'left')
  await elsewhere.submit(querying.token, { sql: endless, lane: 'light' })

  const fault: string[] = []
  let usedAt = performance.now()
  const use = async () => {
    const sentAt = performance.now()
    const { status } = await elsewhere.call('GET', '/api/v1/queries?limit=1', { token: used.token })
    if (status === 200) usedAt = sentAt
    // Only what was used within its idle time may count on being there; a machine may stand still for longer.
    else if (performance.now() - usedAt < shortIdleMs) fault.push(`${status} to a session in use`)
    return status === 200
  }
  const isOver = async (id: string) => {
    const [row] = await ask(
      shared.storeUrl,
      'SELECT sweep_at < ROUND(UNIX_TIMESTAMP(NOW(3)) * 1000) AS is_over FROM session WHERE id = ?',
      [id],
    )
    return row === undefined || Number(row.is_over) === 1
  }
  // Two lifetimes, one after the other.
  const unused: Opened[] = []
  for (let life = 0; life < 2; life++) {
    const session = await open()
    unused.push(session)
    await eventually(async () => !(await use()) || (await isOver(session.id)), Boolean, {
      what: 'the end of a session that nobody uses',
      periodMs: 50,
    })
  }
  t.deepEqual(fault, [])
  for (const session of [used, subscribed, polling, querying])
    for (const node of shared.nodes) {
      const { status, body } = await node.call('GET', `/api/v1/sessions/${session.id}`, { token: session.token })
      t.is(status, 200, JSON.stringify(body))
    }
  t.is(stream.closed, null)
  leaving.abort()
  t.is(await poll, 'left', 'the long poll was not answered')

  for (const session of unused)
    for (const node of shared.nodes) t.deepEqual(await stillGoodFor(node, session.token, belongings), [], node.name)
  const left = () =>
    ask(shared.storeUrl, 'SELECT id FROM session WHERE id IN (?, ?)', [
      (unused[0] as Opened).id,
      (unused[1] as Opened).id,
    ])
  await eventually(left, rows => rows.length === 0, { what: 'the sweep of the expired' })
  for (const { id } of unused) {
    const steps = await ask(
      shared.storeUrl,
      'SELECT from_status, to_status FROM session_transition WHERE session_id = ? ORDER BY version',
      [id],
    )
    t.deepEqual(
      steps.map(({ from_status, to_status }) => `${from_status} ${to_status}`),
      ['NEW OPEN', 'OPEN EXPIRED'],
    )
  }
  await elsewhere.call('DELETE', `/api/v1/sessions/${querying.id}?cancelQueries=true`, { token: querying.token })
  await elsewhere.call('DELETE', `/api/v1/queries/${belongings.unfinished}`, { token: watching })
})

for (const told of [true, false])
  test.serial(
    `closing a session${told ? '' : ', even if no node hears of it,'} ends its subscriptions and long polls on every node`,
    async t => {
      await shared.restore()
      const user = `leaver-${told}`
      const { token: watching, ...belongings } = await belongingsOf(user)
      const session = await nodeOf('n1').session(user)
      const { handle } = await nodeOf('n1').submit(session.token, { sql: endless, lane: 'light' })
      const { version } = await eventually(
        () => nodeOf('n1').query(watching, handle),
        query => query.status === 'RUNNING',
      )
      const topics = [
        { topic: 'query', handle },
        { topic: 'session' },
        { topic: 'cluster' },
        { topic: 'machines' },
      ] as const
      const streams: StreamClient[] = []
      const polls: Promise<{ status: number; body: any }>[] = []
      for (const node of shared.nodes) {
        for (const topic of topics) {
          const stream = await new StreamClient(node.url, { token: session.token }).opened()
          t.teardown(() => stream.terminate())
          stream.send({ type: 'subscribe', id: topic.topic, ...topic })
          await stream.frame('subscribed', frame => frame.type === 'subscribed')
          streams.push(stream)
        }
        for (const polled of [handle, belongings.unfinished])
          polls.push(
            node.call('GET', `/api/v1/queries/${polled}?after=${version + 5}&waitMs=60000`, { token: session.token }),
          )
      }
      const bystander = await new StreamClient(nodeOf('n2').url, { token: watching }).opened()
      t.teardown(() => bystander.terminate())
      bystander.send({ type: 'subscribe', id: 'all', topic: 'session' })
      await bystander.frame('subscribed', frame => frame.type === 'subscribed')

      if (told) {
        const { status } = await nodeOf('n2').call('DELETE', `/api/v1/sessions/${session.id}`, { token: session.token })
        t.is(status, 204)
      } else
        await ask(shared.storeUrl, "UPDATE session SET status = 'CLOSING', version = version + 1 WHERE id = ?", [
          session.id,
        ])
      for (const stream of streams) {
        t.is((await stream.end()).code, 1008)
        t.like(stream.frames.at(-1), { type: 'error', code: 'SESSION_INVALID' })
      }
      for (const { status, body } of await Promise.all(polls))
        t.deepEqual([status, body.code], [401, 'SESSION_INVALID'])
      t.is(bystander.closed, null, 'another session of the same user goes on')
      t.is((await nodeOf('n3').query(watching, handle)).status, 'RUNNING', 'and so does the query')
      for (const running of [handle, belongings.unfinished])
        await nodeOf('n1').call('DELETE', `/api/v1/queries/${running}`, { token: watching })
    },
  )

test.serial(
  'a close that was answered is obeyed by every node from then on, also in the middle of its use',
  async t => {
    await shared.restore()
    for (let round = 0; round < 5; round++) {
      const { id, token } = await nodeOf('n1').session('hurried')
      let closedAt = Number.POSITIVE_INFINITY
      const late: string[] = []
      const workers = new Workers()
      for (const node of shared.nodes)
        for (const [method, target, body] of [
          ['GET', `/api/v1/sessions/${id}`, undefined],
          ['GET', '/api/v1/queries?limit=1', undefined],
          ['POST', '/api/v1/queries', { sql: 'select 1::int one' }],
          ['PATCH', `/api/v1/sessions/${id}`, { properties: { by: node.name } }],
        ] as const)
          workers.add(`${method} at ${node.name}`, async () => {
            const begunAfter = closedAt < Number.POSITIVE_INFINITY
            const answer = await node.call(method, target, { token, ...(body ? { body } : {}) })
            if (answer.status === 401 ? answer.body.code !== 'SESSION_INVALID' : answer.status >= 500 || begunAfter)
              late.push(`${method} ${target} at ${node.name}: ${answer.status} ${JSON.stringify(answer.body)}`)
          })
      await workers.allWorked()
      const closer = shared.nodes[round % 3] as NodeProcess
      const { status } = await closer.call('DELETE', `/api/v1/sessions/${id}`, { token })
      closedAt = performance.now()
      t.is(status, 204)
      await workers.allWorked()
      await workers.end()
      t.deepEqual(late, [])
      const again = await closer.call('DELETE', `/api/v1/sessions/${id}`, { token })
      t.deepEqual([again.status, again.body.code], [401, 'SESSION_INVALID'])
      // Versions without a gap, and nothing after the close but its completion.
      const steps = await ask(
        shared.storeUrl,
        'SELECT version, to_status FROM session_transition WHERE session_id = ? ORDER BY version',
        [id],
      )
      const closing = steps.findIndex(({ to_status }) => to_status === 'CLOSING')
      t.true(closing > 0)
      t.true(steps.slice(closing + 1).every(({ to_status }) => to_status === 'CLOSED'))
      t.deepEqual(
        steps.map(step => Number(step.version)),
        steps.map((_, index) => index + 1),
      )
    }
  },
)

test.serial(
  'the session is closed, the owner of its query killed: the query ends with what the session gave it',
  async t => {
    await shared.restore()
    const [first, owner, third] = [nodeOf('n1'), nodeOf('n2'), nodeOf('n3')]
    const user = 'outlived'
    const { token: watching, ...belongings } = await belongingsOf(user)
    const session = await first.session(user, { database: 'main', properties })
    const { handle } = await owner.submit(session.token, {
      sql: sleepingFor(1_000),
      lane: 'light',
      properties: { colour: 'red', own: 'yes' },
    })
    // What the session becomes later is not the query's.
    await first.call('PATCH', `/api/v1/sessions/${session.id}`, {
      token: session.token,
      body: { database: 'nowhere', properties: { region: 'west' } },
    })
    await eventually(
      () => third.query(watching, handle),
      query => query.status === 'RUNNING' || query.outcome !== null,
    )
    const closed = await third.call('DELETE', `/api/v1/sessions/${session.id}`, { token: session.token })
    t.is(closed.status, 204)
    await owner.kill()
    for (const node of [first, third]) {
      t.deepEqual(await stillGoodFor(node, session.token, belongings), [], node.name)
      const query = await node.ended(watching, handle)
      t.is(query.status, 'SUCCESSFUL', JSON.stringify(query))
      t.not(query.owner.node, owner.name)
      t.is(query.sessionId, session.id)
      t.deepEqual(await node.rows(watching, handle), [[true]])
    }
    const [row] = await ask(shared.storeUrl, 'SELECT * FROM finished_query WHERE handle = ?', [handle])
    t.is(row?.database_name, 'main')
    t.deepEqual(JSON.parse(row?.properties), { ...properties, colour: 'red', own: 'yes' })
    t.deepEqual(await brokenInvariants(shared.storeUrl, [handle]), [])
    await eventually(
      () => ask(shared.storeUrl, 'SELECT status FROM session WHERE id = ?', [session.id]),
      rows => rows.length === 0,
      { what: 'the end of the session, after its last query' },
    )
    await first.call('DELETE', `/api/v1/queries/${belongings.unfinished}`, { token: watching })
  },
)

test.serial('the same key on every node at once opens one session with one token', async t => {
  await shared.restore()
  const keyed = { 'idempotency-key': 'one' }
  const open = (node: NodeProcess, body: object) => node.call('POST', '/api/v1/sessions', { body, headers: keyed })
  const tokensOfAll = await Promise.all(
    Array.from({ length: 25 }, async (_, index) => {
      const user = `keyed-${index}`
      const body = { user, properties: { index: String(index) } }
      const answers = await Promise.all([...shared.nodes, ...shared.nodes].map(node => open(node, body)))
      t.deepEqual([...new Set(answers.map(({ status }) => status))], [201])
      const tokens = [...new Set(answers.map(answer => answer.body.token as string))]
      t.is(tokens.length, 1, `${tokens}`)
      const rows = await ask(shared.storeUrl, 'SELECT id, properties FROM session WHERE user = ?', [user])
      t.is(rows.length, 1)
      const [token] = tokens as [string]
      // At once: what one of the nodes opened lives only for a short time without use.
      await Promise.all(
        shared.nodes.map(async node => {
          const seen = await node.call('GET', `/api/v1/sessions/${rows[0]?.id}`, { token })
          t.is(seen.status, 200)
          t.deepEqual(seen.body.properties, body.properties)
          const other = await open(node, { ...body, properties: {} })
          t.deepEqual([other.status, other.body.code], [409, 'CONFLICT'])
        }),
      )
      return token
    }),
  )
  t.is(new Set(tokensOfAll).size, tokensOfAll.length)

  // A key is used up as long as its session is there; nobody is given a session that is no longer good for anything.
  const user = 'keyed-again'
  const body = { user, properties: {} }
  const { id, token } = (await open(nodeOf('n1'), body)).body
  const again = (node: NodeProcess) => open(node, body)
  const { handle } = await nodeOf('n1').submit(token, { sql: endless, lane: 'light' })
  t.is((await nodeOf('n2').call('DELETE', `/api/v1/sessions/${id}`, { token })).status, 204)
  for (const node of shared.nodes) {
    const { status, body } = await again(node)
    t.deepEqual([status, body.code], [401, 'SESSION_INVALID'])
  }
  const { token: watching } = await nodeOf('n1').session(user)
  await nodeOf('n3').call('DELETE', `/api/v1/queries/${handle}`, { token: watching })
  const reopened = await eventually(
    () => again(nodeOf('n3')),
    ({ status }) => status === 201,
    { what: 'the key is free again' },
  )
  t.not(reopened.body.id, id)
  t.not(reopened.body.token, token)
  t.is(
    (await nodeOf('n1').call('GET', `/api/v1/sessions/${reopened.body.id}`, { token: reopened.body.token })).status,
    200,
  )
})
