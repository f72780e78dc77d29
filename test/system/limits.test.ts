/** Limits hold for the cluster, however the submissions are spread over its nodes, and whatever becomes of these. */
import test from 'ava'
import { eventually } from '../support/conditions.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { LoadWatch } from '../support/load-watch.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { type Answer, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { endless, sleepingFor } from '../support/sleeping.ts'

const limits = { heavySlots: 5, queuedPerUser: 8, runningPerUser: 3, queuedPerLane: 20, sessionsPerUser: 7 }

const shared = sharedCluster(test, {
  nodes: 3,
  env: {
    LENS_LANES_HEAVY_SLOTS: `${limits.heavySlots}`,
    LENS_LANES_LIGHT_SLOTS: '6',
    LENS_LANES_QUEUED_MAX: `${limits.queuedPerLane}`,
    LENS_LIMITS_QUEUED_PER_USER: `${limits.queuedPerUser}`,
    LENS_LIMITS_RUNNING_PER_USER: `${limits.runningPerUser}`,
    LENS_LIMITS_SESSIONS_PER_USER: `${limits.sessionsPerUser}`,
  },
})
const mysql = mysqlDatabases(test)

const onNode = (index: number) => shared.nodes[index % shared.nodes.length] as NodeProcess
const times = <T>(count: number, make: (index: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, index) => make(index)))

/** Sent to all nodes at once. */
const submitAll = (count: number, token: string, body: Record<string, unknown>): Promise<Answer[]> =>
  times(count, index => onNode(index).call('POST', '/api/v1/queries', { token, body }))

function accepted(answers: readonly Answer[]): string[] {
  return answers.filter(({ status }) => status === 202).map(({ body }) => body.handle)
}

const statuses = async (handles: readonly string[]): Promise<string[]> => {
  if (handles.length === 0) return []
  const marks = handles.map(() => '?').join(', ')
  const rows = await ask(
    shared.storeUrl,
    `SELECT status FROM current_query WHERE handle IN (${marks}) UNION ALL SELECT status FROM finished_query WHERE handle IN (${marks})`,
    [...handles, ...handles],
  )
  return rows.map(({ status }) => status)
}

async function cancelAll(token: string, handles: readonly string[]): Promise<void> {
  await Promise.all(
    handles.map((handle, index) => onNode(index).call('DELETE', `/api/v1/queries/${handle}`, { token })),
  )
  await Promise.all(handles.map(handle => onNode(0).ended(token, handle)))
}

/** The nodes have all the slots that the lanes have. */
const slotsGranted = (storeUrl: string, lane: string, slots: number) =>
  eventually(
    () => ask(storeUrl, 'SELECT SUM(acknowledged) AS n FROM slot_budget WHERE lane = ?', [lane]),
    ([row]) => Number(row?.n) === slots,
    { what: `all ${slots} ${lane} slots granted` },
  )

test.serial('sessions of one user, opened on three nodes at once', async t => {
  const open = (index: number) => onNode(index).call('POST', '/api/v1/sessions', { body: { user: 'opener' } })
  const answers = await times(30, open)
  const opened = answers.filter(({ status }) => status === 201).map(({ body }) => body)
  t.is(opened.length, limits.sessionsPerUser)
  for (const { status, body } of answers)
    if (status !== 201) t.deepEqual([status, body.code, body.retryable], [429, 'SESSION_LIMIT', true])
  // Others have their own; and what is closed makes room, exactly.
  await onNode(1).session('another opener')
  for (const [index, { id, token }] of opened.slice(0, 2).entries())
    t.is((await onNode(index).call('DELETE', `/api/v1/sessions/${id}`, { token })).status, 204)
  t.is((await times(12, open)).filter(({ status }) => status === 201).length, 2)
  t.is(
    Number((await ask(shared.storeUrl, "SELECT COUNT(*) AS n FROM session WHERE `user` = 'opener'"))[0]?.n),
    limits.sessionsPerUser,
  )
})

test.serial(
  'queued and running queries of one user, queued ones of a lane, and slots, from three nodes at once',
  async t => {
    await slotsGranted(shared.storeUrl, 'heavy', limits.heavySlots)
    const watch = new LoadWatch(shared.storeUrl)
    const users = await Promise.all(
      ['ada', 'bob', 'cyd', 'dan', 'eve'].map(async user => (await onNode(0).session(user)).token),
    )
    const held = new Map<string, string[]>(users.map(token => [token, []]))
    t.teardown(() => Promise.all([...held].map(([token, handles]) => cancelAll(token, handles))))
    const keep = (token: string, handles: readonly string[]) => held.get(token)?.push(...handles)
    const [ada, bob, ...others] = users as [string, string, ...string[]]
    const running = (token: string, count: number) =>
      eventually(
        () => statuses(held.get(token) as string[]),
        all => all.filter(status => status === 'RUNNING').length === count,
        { what: `${count} running queries` },
      )

    // One more than may run: it waits, with slots to spare.
    keep(ada, accepted(await submitAll(limits.runningPerUser + 1, ada, { sql: endless, lane: 'heavy' })))
    await running(ada, limits.runningPerUser)
    const more = await submitAll(40, ada, { sql: endless, lane: 'heavy' })
    keep(ada, accepted(more))
    t.is(accepted(more).length, limits.queuedPerUser - 1)
    for (const { status, body } of more)
      if (status !== 202) t.deepEqual([status, body.code, body.retryable], [429, 'QUEUE_FULL', true])
    // Another user takes the slots that are left, and no more.
    keep(bob, accepted(await submitAll(limits.runningPerUser, bob, { sql: endless, lane: 'heavy' })))
    await running(bob, limits.heavySlots - limits.runningPerUser)
    // The lane's queue is shared by all; the light one is not touched by it.
    const rest = await Promise.all([bob, ...others].map(token => submitAll(15, token, { sql: endless, lane: 'heavy' })))
    for (const [index, answers] of rest.entries()) keep([bob, ...others][index] as string, accepted(answers))
    const queued = (await Promise.all(users.map(token => statuses(held.get(token) as string[])))).flat()
    t.is(queued.filter(status => status === 'QUEUED').length, limits.queuedPerLane)
    t.is(queued.filter(status => status === 'RUNNING').length, limits.heavySlots)

    // Heavy queries fill their slots and their queue: light ones go by. (Who got the last places in that queue is chance, and one of
    // the users may have all that he may have: these ask for the first time.)
    const late = await Promise.all(['ivo', 'joy', 'kim'].map(async user => (await onNode(0).session(user)).token))
    const body = { sql: 'select count(*)::int n from airports', mode: 'sync' }
    const light = await Promise.all(
      late.flatMap(token => shared.nodes.map(node => node.call('POST', '/api/v1/queries', { token, body }))),
    )
    for (const answer of light) t.is(answer.body.query?.status, 'SUCCESSFUL', JSON.stringify(answer.body))
    t.is((await statuses([...held.values()].flat())).filter(status => status === 'RUNNING').length, limits.heavySlots)

    await Promise.all([...held].map(([token, handles]) => cancelAll(token, handles)))
    const most = await watch.end()
    t.is(most.slots.get('duckdb heavy'), limits.heavySlots)
    for (const [user, n] of most.runningOfUser) t.true(n <= limits.runningPerUser, `${user} had ${n} running`)
    for (const [user, n] of most.queuedOfUser) t.true(n <= limits.queuedPerUser, `${user} had ${n} queued`)
    t.is(most.runningOfUser.get('ada'), limits.runningPerUser)
    t.is(most.queuedOfUser.get('ada'), limits.queuedPerUser)
    t.is(most.queuedOfLane.get('heavy'), limits.queuedPerLane)
    t.deepEqual(await brokenInvariants(shared.storeUrl, [...held.values()].flat()), [])
  },
)

test.serial('slots and running queries, while a node is killed and comes back', async t => {
  await slotsGranted(shared.storeUrl, 'heavy', limits.heavySlots)
  const watch = new LoadWatch(shared.storeUrl)
  const tokens = await Promise.all(['fay', 'gil', 'hal'].map(async user => (await onNode(0).session(user)).token))
  const handles: { token: string; handle: string }[] = []
  const submit = async () => {
    await Promise.all(
      tokens.map(async token => {
        const answers = await submitAll(6, token, { sql: sleepingFor(150), lane: 'heavy' })
        t.deepEqual([...new Set(answers.map(({ status }) => status))], [202])
        for (const handle of accepted(answers)) handles.push({ token, handle })
      }),
    )
  }
  const allEnd = async () => {
    for (const { token, handle } of handles) t.is((await onNode(0).ended(token, handle)).status, 'SUCCESSFUL')
  }
  await submit()
  const victim = shared.node('n2')
  await eventually(
    () => ask(shared.storeUrl, "SELECT 1 FROM current_query WHERE owner_node = 'n2' AND status = 'RUNNING'"),
    rows => rows.length > 0,
    { what: 'a query running on n2' },
  )
  await victim.kill()
  await allEnd()
  await submit()
  await shared.restore()
  await allEnd()
  await slotsGranted(shared.storeUrl, 'heavy', limits.heavySlots)
  await submit()
  await allEnd()
  const most = await watch.end()
  t.is(most.slots.get('duckdb heavy'), limits.heavySlots)
  for (const [user, n] of most.runningOfUser) t.true(n <= limits.runningPerUser, `${user} had ${n} running`)
  t.deepEqual(
    await brokenInvariants(
      shared.storeUrl,
      handles.map(({ handle }) => handle),
    ),
    [],
  )
})

test.serial('with one slot: higher priorities first, then users in turns, then in order of arrival', async t => {
  const cluster = new TestCluster(await mysql.create(t), { LENS_LANES_HEAVY_SLOTS: '1' })
  t.teardown(() => cluster.stop())
  const nodes = await cluster.startAll(2)
  await slotsGranted(cluster.storeUrl, 'heavy', 1)
  const [holder] = await ask(
    cluster.storeUrl,
    "SELECT node_id FROM slot_budget AS b JOIN member AS m ON m.incarnation = b.incarnation WHERE lane = 'heavy' AND acknowledged = 1",
  )
  const node = nodes.find(({ name }) => name === holder?.node_id) as NodeProcess
  const without = nodes.find(each => each !== node) as NodeProcess
  // Who waits at the node without a slot is served by the other one.
  const body = { sql: 'select 5::int five', lane: 'heavy', mode: 'sync' }
  const waited = await without.call('POST', '/api/v1/queries', { token: (await node.session('lea')).token, body })
  t.deepEqual(waited.body.rows, [[5]], JSON.stringify(waited.body))
  const tokens = new Map<string, string>()
  for (const user of ['ida', 'jon', 'kim']) tokens.set(user, (await node.session(user)).token)
  // Long enough that two launches never have the same time.
  const brief = sleepingFor(5)
  const submit = async (user: string, name: string, more: Record<string, unknown> = {}) => {
    const token = tokens.get(user) as string
    const { handle } = await node.submit(token, { sql: brief, lane: 'heavy', name, ...more })
    return { token, handle }
  }
  const first = await submit('ida', 'holds the slot', { sql: endless })
  await eventually(async () => (await node.query(first.token, first.handle)).status === 'RUNNING')
  const waiting: { token: string; handle: string }[] = []
  for (const [user, name, priority] of [
    ['kim', 'late', 'very_low'],
    ['ida', 'ida 1', 'normal'],
    ['ida', 'ida 2', 'normal'],
    ['ida', 'ida 3', 'normal'],
    ['jon', 'jon 1', 'normal'],
    ['jon', 'jon 2', 'normal'],
    ['kim', 'kim 1', 'normal'],
    ['ida', 'soon', 'high'],
    ['jon', 'first', 'very_high'],
  ] as const) {
    const { token, handle } = await submit(user, name, { priority })
    waiting.push({ token, handle })
    await eventually(async () => (await node.query(token, handle)).queuePosition !== null, Boolean, { what: name })
  }
  await node.call('DELETE', `/api/v1/queries/${first.handle}`, { token: first.token })
  for (const { token, handle } of waiting) t.is((await node.ended(token, handle)).status, 'SUCCESSFUL')
  const launched = await ask(
    cluster.storeUrl,
    "SELECT name, `at` FROM query_transition AS t JOIN finished_query AS q ON q.handle = t.handle WHERE to_status = 'LAUNCHED' AND sql_text = ?",
    [brief],
  )
  const names = launched.sort((one, other) => Number(one.at) - Number(other.at)).map(({ name }) => name)
  t.deepEqual(names, ['first', 'soon', 'ida 1', 'jon 1', 'kim 1', 'ida 2', 'jon 2', 'ida 3', 'late'])
})
