/**
 * Apache Lens once coded what this system does, and nineteen things about it did not hold (the list is in the design's
 * references). Each is a test here under its number, in the sense in which it can apply; where another file shows the same at
 * length, it is asserted briefly again.
 *
 *      1  this file                                    11  this file, handles
 *      2  this file, sessions                          12  this file
 *      3  this file, sessions                          13  this file, all-killed, takeover
 *      4  this file, takeover                          14  this file, handles
 *      5  this file, sessions                          15  this file, takeover
 *      6  this file, sessions, handles                 16  this file, handles
 *      7  this file                                    17  this file, freeze, takeover
 *      8  this file, sessions                          18  this file, and every test that reads the database afterwards
 *      9  this file, limits                            19  this file, the conformance suite of the stores
 *     10  this file, sessions
 */
import { createHash, randomUUID } from 'node:crypto'
import test from 'ava'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { eventually } from '../support/conditions.ts'
import { type Belongings, stillGoodFor } from '../support/every-call.ts'
import { shortStatements } from '../support/flights.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { commitOf, MySqlProxy, statementLike } from '../support/mysql-proxy.ts'
import type { NodeProcess } from '../support/nodes.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { endless, sleepingFor } from '../support/sleeping.ts'
import { slotsAreSplit } from '../support/slots.ts'

const sessionsPerUser = 40
const lightSlots = 3

const shared = sharedCluster(test, {
  nodes: 3,
  env: {
    LENS_LIMITS_SESSIONS_PER_USER: String(sessionsPerUser),
    // A limit on, so that its counters are kept and can be compared.
    LENS_LIMITS_RUNNING_PER_USER: '1000',
    LENS_LIMITS_PROPERTIES_BYTES_MAX: '200000',
    LENS_LANES_LIGHT_SLOTS: String(lightSlots),
  },
})

const nodeOf = (name: string) => shared.node(name)
const rowsOf = (sql: string, values: readonly (string | number)[] = []) => ask(shared.storeUrl, sql, values)

/** Things of a session that is good, for `stillGoodFor` to reach for with a token that is not. */
async function belongingsOf(node: NodeProcess, user: string): Promise<Belongings> {
  const { id, token } = await node.session(user)
  const { handle } = await node.submit(token, { sql: 'select 1::int one' })
  await node.ended(token, handle)
  const prepared = await node.call('POST', '/api/v1/prepared-queries', { token, body: { sql: 'select 1' } })
  return { sessionId: id, ended: handle, unfinished: handle, prepared: prepared.body.handle }
}

async function inCurrent(handles: readonly string[]): Promise<string[]> {
  const rows = await rowsOf(
    `SELECT handle FROM current_query WHERE handle IN (${handles.map(() => '?').join(', ')})`,
    handles,
  )
  return rows.map(({ handle }) => handle)
}

/** A call, and whether its answer has come. */
function watched<T>(call: Promise<T>): { readonly answered: () => boolean; readonly answer: Promise<T> } {
  let over = false
  const answer = call.finally(() => {
    over = true
  })
  return { answered: () => over, answer }
}

// ------------------------------------------------------------ a node dies with work of every kind: for 1, 4, 5, 11, 14, 15 and 17

/** Far beyond a BLOB. */
const wide = 'w'.repeat(150_000)
const longText = `select '${'x'.repeat(900_000)}' as long_text`
const properties = { region: 'north', wide }
const kinds = ['query', 'long', 'prepared', 'waited', 'estimate', 'explain'] as const
type Kind = (typeof kinds)[number]

interface Failover {
  readonly dead: string
  readonly session: { readonly id: string; readonly token: string }
  /** Waited on the node that died. */
  readonly handles: Readonly<Record<Kind, string>>
  /** Ran on it. */
  readonly running: any
  readonly storedBefore: readonly string[]
  /** The first request that each survivor got after the death, and the first poll of each handle. */
  readonly first: readonly { readonly node: string; readonly status: number; readonly body: any }[]
  readonly polled: readonly { readonly node: string; readonly status: number; readonly query: any }[]
  readonly ended: Readonly<Record<Kind, any>>
  readonly again: any
}

let happened: Promise<Failover> | undefined

function failover(): Promise<Failover> {
  happened ??= fail()
  return happened
}

async function fail(): Promise<Failover> {
  await shared.restore()
  const [victim, second, third] = ['n1', 'n2', 'n3'].map(nodeOf) as [NodeProcess, NodeProcess, NodeProcess]
  const survivors = [second, third]
  const session = await victim.session('continuing', { database: 'main', properties })
  const { token } = session
  const keeper = await victim.session('continuing')
  await slotsAreSplit(shared.storeUrl, 'light', 3, lightSlots / 3)
  // Every slot is taken, so that the rest waits where it was submitted.
  const blockers: any[] = []
  for (const node of [victim, ...survivors])
    blockers.push(await node.submit(keeper.token, { sql: endless, lane: 'light', name: node.name }))
  const running = await Promise.all(
    blockers.map(({ handle }) =>
      eventually(
        () => victim.query(keeper.token, handle),
        query => query.status === 'RUNNING',
      ),
    ),
  )
  const onVictim = running.find(({ owner }) => owner.node === victim.name)
  if (!onVictim) throw new Error(`no slot on ${victim.name}: ${JSON.stringify(running)}`)
  const prepared = await victim.call('POST', '/api/v1/prepared-queries', {
    token,
    body: { sql: 'select $1::int given' },
  })
  const submit = async (request: Record<string, unknown>) => (await victim.submit(token, request)).handle as string
  const executed = await victim.call('POST', `/api/v1/prepared-queries/${prepared.body.handle}/executions`, {
    token,
    body: { parameters: [42] },
  })
  const handles: Record<Kind, string> = {
    query: await submit({ sql: 'select 7::int seven' }),
    long: await submit({ sql: longText, lane: 'light' }),
    prepared: executed.body.handle,
    waited: await submit({ sql: 'select 8::int eight', mode: 'sync', timeoutMs: 1 }),
    estimate: await submit({ sql: 'select * from flights', operation: 'estimate' }),
    explain: await submit({ sql: 'select * from flights', operation: 'explain' }),
  }
  const storedBefore = await inCurrent(Object.values(handles))
  await victim.kill()

  const first = await Promise.all(
    survivors.map(async node => ({
      node: node.name,
      ...(await node.call('GET', `/api/v1/sessions/${session.id}`, { token })),
    })),
  )
  const polled = await Promise.all(
    survivors.flatMap(node =>
      Object.values(handles).map(async handle => {
        const { status, body } = await node.call('GET', `/api/v1/queries/${handle}`, { token })
        return { node: node.name, status, query: body }
      }),
    ),
  )
  for (const blocker of running)
    if (blocker !== onVictim) await second.call('DELETE', `/api/v1/queries/${blocker.handle}`, { token: keeper.token })
  const again = await eventually(
    () => second.query(keeper.token, onVictim.handle),
    query => query.status === 'RUNNING' && query.attempt > onVictim.attempt,
    { what: 'the running query runs elsewhere' },
  )
  await second.call('DELETE', `/api/v1/queries/${onVictim.handle}`, { token: keeper.token })
  const ended = Object.fromEntries(
    await Promise.all(kinds.map(async kind => [kind, await second.ended(token, handles[kind])])),
  )
  return { dead: victim.name, session, handles, running: onVictim, storedBefore, first, polled, ended, again }
}

// ------------------------------------------------------------ the nineteen

test.serial(
  'defect 1: rows are columns that can be asked about, and hold more than 64 KiB of SQL and properties',
  async t => {
    const { handles, ended, session } = await failover()
    const columns = await rowsOf(
      'SELECT table_name AS t, column_name AS c, data_type AS type, character_maximum_length AS length FROM information_schema.columns WHERE table_schema = DATABASE()',
    )
    const of = (table: string) => columns.filter(column => column.t === table)
    t.true(of('session').length > 0)
    for (const column of ['handle', 'session_id', 'user', 'status', 'owner_incarnation', 'epoch', 'version', 'lane'])
      t.true(
        of('current_query').some(({ c }) => c === column),
        column,
      )
    for (const { t: table, c, type, length } of columns) {
      t.false(type === 'blob' || (type === 'longblob' && table !== 'result_page'), `${table}.${c} is ${type}`)
      if (/text$/.test(type)) t.true(Number(length) > 16_000_000, `${table}.${c} holds ${length} bytes`)
    }
    t.is(ended.long.status, 'SUCCESSFUL')
    t.is(ended.long.sql, longText)
    t.deepEqual(await nodeOf('n3').rows(session.token, handles.long), [['x'.repeat(900_000)]])
    const [row] = await rowsOf('SELECT sql_text, properties FROM finished_query WHERE handle = ?', [handles.long])
    t.is(row?.sql_text, longText)
    t.deepEqual(JSON.parse(row?.properties), properties)
  },
)

test.serial('defect 2: the database is asked for every request, not the memory', async t => {
  await shared.restore()
  const node = nodeOf('n2')
  const belongings = await belongingsOf(node, 'second')
  const { id, token } = await node.session('second')
  t.is((await node.call('GET', '/api/v1/queries', { token })).status, 200)
  await rowsOf('DELETE FROM session WHERE id = ?', [id])
  t.deepEqual(await stillGoodFor(node, token, belongings), [])
})

test.serial('defect 3: a session that was closed on one node is closed on those that remember it', async t => {
  await shared.restore()
  const belongings = await belongingsOf(nodeOf('n1'), 'third')
  const { id, token } = await nodeOf('n1').session('third')
  for (const node of shared.nodes) t.is((await node.call('GET', '/api/v1/queries', { token })).status, 200)
  t.is((await nodeOf('n3').call('DELETE', `/api/v1/sessions/${id}`, { token })).status, 204)
  for (const node of shared.nodes) t.deepEqual(await stillGoodFor(node, token, belongings), [], node.name)
})

test.serial('defect 4: the first request after a failover works', async t => {
  const { first, session } = await failover()
  t.is(first.length, 2)
  for (const { node, status, body } of first) {
    t.is(status, 200, node)
    t.is(body.id, session.id)
  }
})

test.serial('defect 5: a session is restored with its user, database and properties', async t => {
  const { first, session } = await failover()
  for (const { body } of first)
    t.like(body, { user: 'continuing', database: 'main', status: 'OPEN', properties }, body.database)
  for (const name of ['n2', 'n3']) {
    const query = await nodeOf(name).submit(session.token, { sql: 'select 1::int one' })
    t.is(query.user, 'continuing')
    t.is((await nodeOf(name).ended(session.token, query.handle)).status, 'SUCCESSFUL')
    const [row] = await rowsOf('SELECT user, database_name, properties FROM finished_query WHERE handle = ?', [
      query.handle,
    ])
    t.like(row, { user: 'continuing', database_name: 'main' })
    t.deepEqual(JSON.parse(row?.properties), properties)
  }
})

test.serial(
  'defect 6: the secret is checked where a session is restored, and nobody is told the ids of others',
  async t => {
    await shared.restore()
    const belongings = await belongingsOf(nodeOf('n1'), 'sixth')
    const { id, token } = await nodeOf('n1').session('sixth')
    const stranger = await nodeOf('n2').session('stranger')
    const strangersSecret = stranger.token.split('.')[1]
    for (const node of [nodeOf('n2'), nodeOf('n3')]) {
      for (const forged of [`${id}.${strangersSecret}`, `${id}.${'A'.repeat(43)}`])
        t.deepEqual(await stillGoodFor(node, forged, belongings), [], node.name)
      const listed = await node.call('GET', '/api/v1/sessions?limit=1000', { token: stranger.token })
      t.is(listed.status, 200)
      t.false(JSON.stringify(listed.body).includes(id))
      t.is((await node.call('GET', '/api/v1/sessions')).status, 401)
      t.is((await node.call('GET', '/api/v1/queries', { token })).status, 200, 'the right secret is still good')
    }
  },
)

test.serial(
  'defect 7: a session is a row before it is answered, and nothing when its row could not be made',
  async t => {
    await shared.restore()
    const proxy = await MySqlProxy.start(t, shared.storeUrl)
    const node = await shared.cluster.start({ name: 'opener', env: { LENS_STORE_URL: proxy.url } })
    await node.ready()
    const open = (user: string) => node.call('POST', '/api/v1/sessions', { body: { user } })
    const stored = (user: string) => rowsOf('SELECT id, secret_hash FROM session WHERE user = ?', [user])
    const insertion = commitOf(/^INSERT INTO `?session`? /i)

    const hold = proxy.holdNext(insertion)
    const { answered, answer: opening } = watched(open('first-in-time'))
    await hold.first
    t.deepEqual(await stored('first-in-time'), [])
    // Requests that come later are answered meanwhile.
    for (let count = 0; count < 20; count++) t.is((await node.call('GET', '/healthz')).status, 200)
    t.false(answered(), 'it was answered before its row was committed')
    hold.release()
    const { status, body } = await opening
    t.is(status, 201)
    const [id, secret] = body.token.split('.')
    t.deepEqual(await stored('first-in-time'), [
      { id, secret_hash: createHash('sha256').update(secret).digest('hex') } as any,
    ])

    // Its answer lost, the commit is looked for, not repeated: one session, which the client is told of.
    const lost = proxy.loseAnswerTo(insertion)
    const [again] = await Promise.all([open('lost-in-between'), lost])
    t.is(again.status, 201)
    t.is((await stored('lost-in-between')).length, 1)
    t.is((await nodeOf('n1').call('GET', '/api/v1/queries', { token: again.body.token })).status, 200)

    const last = proxy.holdNext(insertion)
    const failing = open('never-there').then(
      answer => answer.status,
      () => 'broken',
    )
    await last.first
    await node.kill()
    t.is(await failing, 'broken')
    await last.firstEnded
    await eventually(
      () => rowsOf("SELECT 1 FROM failover WHERE node_id = 'opener' AND done_at IS NOT NULL"),
      rows => rows.length > 0,
    )
    t.deepEqual(await stored('never-there'), [])
  },
)

test.serial(
  'defect 8: the last use is in the database before the answer, wherever it was, and only it counts',
  async t => {
    await shared.restore()
    const leader = await shared.cluster.leader()
    const proxy = await MySqlProxy.start(t, shared.storeUrl)
    const other = await shared.cluster.start({ name: 'user', env: { LENS_STORE_URL: proxy.url } })
    await other.ready()
    const { id, token } = await leader.session('eighth')
    // As if the leader had last seen it almost a whole lifetime ago.
    await rowsOf(
      'UPDATE session SET last_used_at = last_used_at - idle_ms + 30000, sweep_at = sweep_at - idle_ms + 30000 WHERE id = ?',
      [id],
    )
    const read = async () => (await rowsOf('SELECT last_used_at, sweep_at FROM session WHERE id = ?', [id]))[0] as any
    const before = await read()
    const hold = proxy.holdNext(statementLike(/^UPDATE `?session`?.*last_used_at/s))
    const { answered, answer } = watched(other.call('GET', '/api/v1/queries', { token }))
    await hold.first
    for (let count = 0; count < 20; count++) t.is((await other.call('GET', '/healthz')).status, 200)
    t.false(answered(), 'it was answered before its use was written')
    hold.release()
    t.is((await answer).status, 200)
    const after = await read()
    t.true(after.last_used_at > before.last_used_at)
    t.is(after.sweep_at - before.sweep_at, after.last_used_at - before.last_used_at)
    await other.terminate()
  },
)

test.serial('defect 9: sessions per user are counted in the cluster', async t => {
  await shared.restore()
  const user = 'ninth'
  const open = (node: NodeProcess) => node.call('POST', '/api/v1/sessions', { body: { user } })
  const answers = await Promise.all(
    Array.from({ length: sessionsPerUser + 20 }, (_, index) => open(shared.nodes[index % 3] as NodeProcess)),
  )
  const opened = answers.filter(({ status }) => status === 201)
  t.is(opened.length, sessionsPerUser)
  for (const { status, body } of answers) if (status !== 201) t.deepEqual([status, body.code], [429, 'SESSION_LIMIT'])
  const [counted] = await rowsOf('SELECT COUNT(*) AS n FROM session WHERE user = ?', [user])
  t.is(Number(counted?.n), sessionsPerUser)
  const { id, token } = opened[0]?.body ?? {}
  t.is((await nodeOf('n2').call('DELETE', `/api/v1/sessions/${id}`, { token })).status, 204)
  t.is((await open(nodeOf('n3'))).status, 201)
  t.is((await open(nodeOf('n1'))).status, 429)
})

test.serial('defect 10: every call works on a node that never saw the session', async t => {
  await shared.restore()
  const [maker, other] = [nodeOf('n1'), nodeOf('n2')]
  const user = 'tenth'
  const { token: making } = await maker.session(user)
  const made = async () => {
    const { handle } = await maker.submit(making, { sql: 'select 1::int one' })
    await maker.ended(making, handle)
    return handle as string
  }
  const prepared = async () =>
    (await maker.call('POST', '/api/v1/prepared-queries', { token: making, body: { sql: 'select 1' } })).body.handle
  const calls: readonly (readonly [string, number, (id: string) => string | Promise<string>, unknown?])[] = [
    ['GET', 200, id => `/api/v1/sessions/${id}`],
    ['PATCH', 200, id => `/api/v1/sessions/${id}`, { properties: { a: 'b' } }],
    ['DELETE', 204, id => `/api/v1/sessions/${id}`],
    ['DELETE', 204, id => `/api/v1/sessions/${id}?cancelQueries=true`],
    ['GET', 200, () => '/api/v1/sessions'],
    ['POST', 202, () => '/api/v1/queries', { sql: 'select 1' }],
    ['POST', 200, () => '/api/v1/queries', { sql: 'select 1', mode: 'sync' }],
    ['POST', 200, () => '/api/v1/queries', { sql: 'select 1', mode: 'sync', operation: 'explain' }],
    ['GET', 200, () => '/api/v1/queries'],
    ['GET', 200, async () => `/api/v1/queries/${await made()}`],
    ['GET', 200, async () => `/api/v1/queries/${await made()}/transitions`],
    ['GET', 200, async () => `/api/v1/queries/${await made()}/results`],
    ['DELETE', 200, async () => `/api/v1/queries/${await made()}`],
    ['DELETE', 204, async () => `/api/v1/queries/${await made()}/results`],
    ['POST', 201, () => '/api/v1/prepared-queries', { sql: 'select 1' }],
    ['GET', 200, () => '/api/v1/prepared-queries'],
    ['GET', 200, async () => `/api/v1/prepared-queries/${await prepared()}`],
    ['POST', 202, async () => `/api/v1/prepared-queries/${await prepared()}/executions`, {}],
    ['DELETE', 204, async () => `/api/v1/prepared-queries/${await prepared()}`],
    ['GET', 200, () => '/api/v1/cluster'],
    ['GET', 200, () => '/api/v1/engines'],
  ]
  for (const [method, expected, targetOf, body] of calls) {
    const { id, token } = await maker.session(user)
    const target = await targetOf(id)
    const answer = await other.call(method, target, { token, ...(body === undefined ? {} : { body }) })
    t.is(answer.status, expected, `${method} ${target}: ${JSON.stringify(answer.body)}`)
    if (method === 'DELETE' && target.startsWith('/api/v1/sessions'))
      t.is((await maker.call('GET', '/api/v1/queries', { token })).status, 401, 'closed where it was opened, too')
  }
})

test.serial(
  'defect 11: whatever is unfinished has a row, and goes on: executions, time-outs, estimates and plans too',
  async t => {
    const { handles, storedBefore, ended, session } = await failover()
    t.deepEqual([...storedBefore].sort(), Object.values(handles).sort())
    for (const kind of kinds) t.is(ended[kind].status, 'SUCCESSFUL', kind)
    t.true(ended.estimate.estimate.cost > 0)
    t.regex(ended.explain.plan, /flights|PARQUET/i)
    t.is(ended.waited.mode, 'async')
    for (const name of ['n2', 'n3'])
      t.deepEqual(
        await Promise.all(
          [handles.query, handles.prepared, handles.waited].map(handle => nodeOf(name).rows(session.token, handle)),
        ),
        [[[7]], [[42]], [[8]]],
      )
  },
)

test.serial('defect 12: what is refused leaves no row behind', async t => {
  await shared.restore()
  const node = nodeOf('n2')
  const user = 'twelfth'
  const { token } = await node.session(user)
  const refused: [string, unknown, number, string?][] = [
    ['queries', { sql: 'select 1', engine: 'unknown' }, 400],
    ['queries', { sql: ' ' }, 400],
    ['queries', { sql: 'select 1', lane: 'fast' }, 400],
    ['queries', { sql: 'select nothing from nowhere', mode: 'sync' }, 400, 'SQL_INVALID'],
    ['queries', { sql: 'selct', mode: 'sync', operation: 'estimate' }, 400, 'SQL_INVALID'],
    ['queries', { sql: 'select 1; select 2', mode: 'sync' }, 400, 'SQL_INVALID'],
    ['prepared-queries', { sql: 'select nothing from nowhere' }, 400, 'SQL_INVALID'],
  ]
  for (const [path, body, status, code] of refused) {
    const answer = await node.call('POST', `/api/v1/${path}`, { token, body })
    t.is(answer.status, status, JSON.stringify(answer.body))
    if (code) t.is(answer.body.code, code)
  }
  const late = await node.submit(token, { sql: 'select nothing from nowhere' })
  const failed = await node.ended(token, late.handle)
  t.deepEqual([failed.status, failed.error.code], ['FAILED', 'SQL_INVALID'])
  t.deepEqual(await rowsOf('SELECT handle FROM current_query WHERE user = ?', [user]), [])
  t.deepEqual(await rowsOf('SELECT handle FROM prepared_query WHERE user = ?', [user]), [])
  const kept = await rowsOf('SELECT handle, status FROM finished_query WHERE user = ?', [user])
  t.deepEqual([...new Set(kept.map(({ status }) => status))], ['FAILED'])
  t.is(kept.length, 4, 'those that an engine had to refuse')
  t.deepEqual(await brokenInvariants(shared.storeUrl, [late.handle]), [])
})

test.serial('defect 14: polls on other nodes find the query, right after its own has died', async t => {
  const { polled, handles, dead } = await failover()
  t.is(polled.length, kinds.length * 2)
  for (const { node, status, query } of polled) {
    t.is(status, 200, `${query.handle} at ${node}`)
    t.true(Object.values(handles).includes(query.handle))
    t.not(query.status, 'FAILED')
  }
  t.true(polled.some(({ query }) => query.owner.node === dead || query.owner.epoch > 1))
})

test.serial('defect 15: what was chosen for a query goes on with it', async t => {
  const { running, again } = await failover()
  const chosen = ({ handle, engine, lane, estimate, sql, name, priority, submittedAt, user }: any) => ({
    ...{ handle, engine, lane, estimate, sql, name, priority, submittedAt, user },
  })
  t.truthy(running.engine)
  t.deepEqual(chosen(again), chosen(running))
  t.is(again.attempt, running.attempt + 1)
  t.like(again.failedAttempts[0], { node: running.owner.node, engine: running.engine })
})

test.serial('defect 16: a query leaves one table when it enters the other', async t => {
  await shared.restore()
  const { token } = await nodeOf('n1').session('sixteenth')
  const handles: string[] = []
  const marks = () => handles.map(() => '?').join(', ')
  const connection = await createConnection({ uri: shared.storeUrl })
  t.teardown(() => connection.destroy())
  for (let index = 0; index < 60; index++) {
    const node = shared.nodes[index % 3] as NodeProcess
    handles.push((await node.submit(token, { sql: shortStatements[index % 5] })).handle)
  }
  const count = async (table: string) => {
    const [rows] = await connection.query<RowDataPacket[]>(
      `SELECT handle FROM ${table} WHERE handle IN (${marks()})`,
      handles,
    )
    return rows.map(({ handle }) => handle as string)
  }
  let looks = 0
  for (let finished = 0; finished < handles.length; looks++) {
    await connection.query('START TRANSACTION WITH CONSISTENT SNAPSHOT')
    const [current, ended] = [await count('current_query'), await count('finished_query')]
    await connection.query('COMMIT')
    finished = ended.length
    if (current.length + ended.length !== handles.length || new Set([...current, ...ended]).size !== handles.length) {
      t.fail(`${current.length} in current_query, ${finished} in finished_query, of ${handles.length}`)
      break
    }
  }
  t.true(looks > 1)
  t.deepEqual(await brokenInvariants(shared.storeUrl, handles), [])
})

test.serial('defect 17: every query has an owner, an epoch and a version, and a death raises them', async t => {
  const { dead, running, again, handles } = await failover()
  t.is(running.owner.epoch, 1)
  t.is(again.owner.epoch, 2)
  t.true(again.version > running.version)
  const steps = await rowsOf(
    'SELECT version, epoch, node, event FROM query_transition WHERE handle = ? ORDER BY version',
    [running.handle],
  )
  const claim = steps.find(({ event }) => JSON.parse(event).type === 'CLAIMED')
  t.is(Number(claim?.epoch), 2)
  t.is(Number(claim?.version), running.version + 1)
  const [failed] = await rowsOf(
    'SELECT incarnation, term, done_at FROM failover WHERE node_id = ? ORDER BY detected_at',
    [dead],
  )
  t.truthy(failed?.done_at)
  const [lease] = await rowsOf('SELECT term FROM lease')
  t.true(Number(lease?.term) >= Number(failed?.term))
  const owners = await rowsOf(
    `SELECT owner_incarnation FROM finished_query WHERE handle IN (${kinds.map(() => '?').join(', ')})`,
    Object.values(handles),
  )
  t.is(owners.length, kinds.length)
  t.false(owners.some(({ owner_incarnation }) => owner_incarnation === failed?.incarnation))
  t.deepEqual(await brokenInvariants(shared.storeUrl, Object.values(handles)), [])
})

test.serial(
  'defect 18: an answer says what was done, and of many who do it at once, each is told the truth',
  async t => {
    await shared.restore()
    const { id, token } = await nodeOf('n1').session('eighteenth')
    const { token: watching } = await nodeOf('n1').session('eighteenth')
    const { handle } = await nodeOf('n1').submit(token, { sql: endless, lane: 'light' })
    const everywhere = (method: string, target: string, by: string) =>
      Promise.all(shared.nodes.map(async node => (await node.call(method, target, { token: by })).status))

    const closed = await everywhere('DELETE', `/api/v1/sessions/${id}`, token)
    t.deepEqual([...closed].sort(), [204, 401, 401], 'one of them has closed it')
    t.deepEqual(await everywhere('DELETE', `/api/v1/sessions/${id}`, token), [401, 401, 401])
    const steps = await rowsOf('SELECT to_status FROM session_transition WHERE session_id = ? ORDER BY version', [id])
    t.is(steps.filter(({ to_status }) => to_status === 'CLOSING').length, 1)

    const cancelled = await everywhere('DELETE', `/api/v1/queries/${handle}`, watching)
    t.true(cancelled.every(status => status === 202 || status === 200))
    t.is((await nodeOf('n2').ended(watching, handle)).status, 'CANCELED')
    t.deepEqual(await everywhere('DELETE', `/api/v1/queries/${handle}`, watching), [200, 200, 200])
    const ended = await nodeOf('n3').query(watching, handle)
    t.is(ended.status, 'CANCELED')

    t.deepEqual(await everywhere('DELETE', `/api/v1/queries/${handle}/results`, watching), [204, 204, 204])
    const dropped = await nodeOf('n3').query(watching, handle)
    t.deepEqual([dropped.status, dropped.outcome, dropped.version], ['CLOSED', 'CANCELED', ended.version + 1])

    const prepared = await nodeOf('n1').call('POST', '/api/v1/prepared-queries', {
      token: watching,
      body: { sql: 'select 1' },
    })
    const target = `/api/v1/prepared-queries/${prepared.body.handle}`
    const removed = await everywhere('DELETE', target, watching)
    t.true(removed.includes(204) && removed.every(status => status === 204 || status === 404))
    t.deepEqual(await everywhere('DELETE', target, watching), [404, 404, 404])
    for (const missing of [randomUUID(), id])
      t.deepEqual(await everywhere('DELETE', `/api/v1/sessions/${missing}`, watching), [404, 404, 404])
  },
)

/** Reserved in MySQL 8 or 9 and not in every server that tests run on. */
const newlyReserved =
  'cube cume_dist dense_rank empty except first_value function grouping groups intersect json_table lag last_value lateral lead library manual nth_value ntile of over parallel percent_rank qualify rank recursive row_number rows system tablesample window'.split(
    ' ',
  )

test.serial(
  'defect 19: the schema is made on a real MySQL, takes the longest values, and no word is reserved',
  async t => {
    await shared.restore()
    const columns = await rowsOf(
      'SELECT table_name AS t, column_name AS c FROM information_schema.columns WHERE table_schema = DATABASE()',
    )
    const tables = [...new Set(columns.map(column => column.t as string))]
    for (const table of [
      'session',
      'current_query',
      'finished_query',
      'query_transition',
      'result_page',
      'lease',
      'member',
    ])
      t.true(tables.includes(table), table)
    for (const { t: table, c } of columns) {
      t.false(newlyReserved.includes(table) || newlyReserved.includes(c), `${table}.${c}`)
      await t.notThrowsAsync(rowsOf(`SELECT ${c} FROM ${table} LIMIT 0`), 'without quotes')
    }

    const user = '👤'.repeat(64)
    const name = '名'.repeat(255)
    const { id, token } = await nodeOf('n1').session(user, {
      database: 'main',
      properties: { rows: '1', 'a"b\'c\\': '𝄞\n' },
    })
    const { handle } = await nodeOf('n2').submit(token, {
      sql: `select 1::int "rows", 2::int "rank", '\\' "groups", $1::varchar "system"`,
      parameters: ['ß𝄞"\'\\'.repeat(20_000)],
      name,
      properties: { ['k'.repeat(255)]: 'v'.repeat(100_000) },
    })
    const query = await nodeOf('n3').ended(token, handle)
    t.like(query, { status: 'SUCCESSFUL', user, name })
    t.deepEqual(
      query.result.columns.map((column: any) => column.name),
      ['rows', 'rank', 'groups', 'system'],
    )
    t.deepEqual(await nodeOf('n3').rows(token, handle), [[1, 2, '\\', 'ß𝄞"\'\\'.repeat(20_000)]])
    t.deepEqual((await nodeOf('n3').call('GET', `/api/v1/sessions/${id}`, { token })).body.properties, {
      rows: '1',
      'a"b\'c\\': '𝄞\n',
    })
    // An error as long as the text that caused it.
    const wrong = await nodeOf('n2').submit(token, { sql: `select 'no date ${'9'.repeat(200_000)}'::date` })
    const failed = await nodeOf('n3').ended(token, wrong.handle)
    t.is(failed.status, 'FAILED', failed.error?.message.slice(0, 200))
    t.deepEqual(await brokenInvariants(shared.storeUrl, [handle, wrong.handle]), [])
  },
)

test.serial('defect 13: whoever starts takes over from the tables what all had begun', async t => {
  await shared.restore()
  const { token, id } = await nodeOf('n1').session('thirteenth', { properties: { kept: 'yes' } })
  const handles: string[] = []
  for (const node of shared.nodes)
    for (const sql of [sleepingFor(500), 'select 3::int three'])
      handles.push((await node.submit(token, { sql, lane: 'light' })).handle)
  await Promise.all(shared.nodes.map(node => node.kill()))
  const starter = await shared.cluster.start({ name: 'n2' })
  await starter.ready()
  const session = await starter.call('GET', `/api/v1/sessions/${id}`, { token })
  t.deepEqual([session.status, session.body.properties], [200, { kept: 'yes' }])
  for (const [index, handle] of handles.entries()) {
    t.is((await starter.ended(token, handle)).status, 'SUCCESSFUL')
    t.deepEqual(await starter.rows(token, handle), [[index % 2 === 0 ? true : 3]])
  }
  t.deepEqual(await brokenInvariants(shared.storeUrl, handles), [])
})
