/** A cancel that was answered is kept, whoever answered it and whatever becomes of the query's owner. */
import test from 'ava'
import { eventually } from '../support/conditions.ts'
import { engineProcessesOf, runs } from '../support/engine-processes.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { freePort, type NodeProcess } from '../support/nodes.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { endless } from '../support/sleeping.ts'

const shared = sharedCluster(test, {
  nodes: 3,
  // A limit on, so that its counters are kept and can be compared; one heavy slot per node, so that the next query waits.
  env: { LENS_LANES_HEAVY_SLOTS: '3', LENS_LANES_LIGHT_SLOTS: '8', LENS_LIMITS_RUNNING_PER_USER: '1000' },
})

const status = (node: NodeProcess, token: string, handle: string, wanted: string) =>
  eventually(
    () => node.query(token, handle),
    query => query.status === wanted,
    { what: `${handle} is ${wanted}` },
  )

const cancel = (node: NodeProcess, token: string, handle: string) =>
  node.call('DELETE', `/api/v1/queries/${handle}`, { token })

async function launches(handle: string): Promise<string[]> {
  const rows = await ask(
    shared.storeUrl,
    "SELECT node FROM query_transition WHERE handle = ? AND to_status = 'LAUNCHED' AND from_status = 'QUEUED'",
    [handle],
  )
  return rows.map(({ node }) => node)
}

for (const frozen of [true, false])
  test.serial(
    `cancelled through another node, then the owner ${frozen ? 'that could not hear it ' : ''}is killed: CANCELED, and nothing runs on`,
    async t => {
      await shared.restore()
      const [owner, other, third] = ['n1', 'n2', 'n3'].map(name => shared.node(name)) as [
        NodeProcess,
        NodeProcess,
        NodeProcess,
      ]
      const { token } = await owner.session('canceller')
      const running = await owner.submit(token, { sql: endless, lane: 'heavy' })
      await status(third, token, running.handle, 'RUNNING')
      const queued = await owner.submit(token, { sql: endless, lane: 'heavy' })
      await status(third, token, queued.handle, 'QUEUED')
      const kept = await owner.submit(token, { sql: 'select 7::int seven where sleep_ms(300) is null', lane: 'light' })
      const engines = engineProcessesOf(owner.pid)
      t.true(engines.length > 0)

      if (frozen) owner.signal('SIGSTOP')
      const answers = await Promise.all([running, queued].map(({ handle }) => cancel(other, token, handle)))
      await owner.kill()
      t.deepEqual(
        answers.map(answer => answer.status),
        [202, 202],
      )

      for (const { handle } of [running, queued])
        for (const node of [other, third]) {
          const { status, outcome } = await node.ended(token, handle)
          t.deepEqual({ status, outcome }, { status: 'CANCELED', outcome: 'CANCELED' })
        }
      t.deepEqual(await launches(running.handle), [owner.name], 'no survivor ran it')
      t.deepEqual(await launches(queued.handle), [], 'it never ran')
      await eventually(
        () => engines.filter(runs),
        pids => pids.length === 0,
        { what: 'the end of the engine of the dead' },
      )
      // What nobody cancelled goes on; the slots of the cancelled are free.
      t.is((await third.ended(token, kept.handle)).status, 'SUCCESSFUL')
      const next = await third.submit(token, { sql: 'select 1::int one', lane: 'heavy' })
      t.is((await other.ended(token, next.handle)).status, 'SUCCESSFUL')
      t.deepEqual(
        await brokenInvariants(shared.storeUrl, [running.handle, queued.handle, kept.handle, next.handle]),
        [],
      )
    },
  )

test.serial('what waits, runs or has ended is cancelled from any node', async t => {
  await shared.restore()
  const [owner, other] = [shared.node('n2'), shared.node('n3')]
  const { token } = await owner.session('canceller')
  const blockers = await Promise.all(
    shared.nodes.map(async node => (await node.submit(token, { sql: endless, lane: 'heavy' })).handle as string),
  )
  for (const handle of blockers) await status(other, token, handle, 'RUNNING')
  const queued = await owner.submit(token, { sql: endless, lane: 'heavy' })
  t.is((await cancel(other, token, queued.handle)).status, 202)
  t.is((await other.ended(token, queued.handle)).status, 'CANCELED')
  t.deepEqual(await launches(queued.handle), [])

  for (const handle of blockers) {
    const { status, body } = await cancel(other, token, handle)
    t.is(status, 202)
    t.is(body.handle, handle)
    t.is((await owner.ended(token, handle)).status, 'CANCELED')
    // Again, once it has ended: as it was.
    const ended = await owner.query(token, handle)
    const again = await cancel(other, token, handle)
    t.is(again.status, 200)
    t.deepEqual(again.body, ended)
  }
  const done = await owner.submit(token, { sql: 'select 1::int one' })
  const before = await owner.ended(token, done.handle)
  t.is(before.status, 'SUCCESSFUL')
  const late = await cancel(other, token, done.handle)
  t.is(late.status, 200)
  t.deepEqual(late.body, before)
  t.deepEqual(await other.rows(token, done.handle), [[1]])

  const stranger = await other.session('stranger')
  t.is((await cancel(other, stranger.token, done.handle)).status, 404)
  t.deepEqual(await brokenInvariants(shared.storeUrl, [...blockers, queued.handle, done.handle]), [])
})

test.serial('cancel and launch at the same instant: what was cancelled first never launches', async t => {
  await shared.restore()
  // No peer reaches it: what it does about a cancel it can only know from the row that it is about to change.
  const unreachable = `http://127.0.0.1:${await freePort()}`
  const deaf = await shared.cluster.start({ name: 'deaf', env: { LENS_ADVERTISE_URL: unreachable } })
  await deaf.ready()
  await eventually(
    () =>
      ask(
        shared.storeUrl,
        "SELECT granted FROM slot_budget AS b JOIN member AS m ON m.incarnation = b.incarnation WHERE m.node_id = 'deaf' AND b.lane = 'light' AND b.acknowledged > 0",
      ),
    rows => rows.length > 0,
    { what: 'slots of the deaf node' },
  )
  const { token } = await shared.node('n1').session('racer')
  const seen = { launched: 0, never: 0 }
  const handles: string[] = []
  // Until both sides have won often enough.
  for (let round = 0; seen.launched < 10 || seen.never < 20; round++) {
    if (round === 40) t.fail(`one side never wins: ${JSON.stringify(seen)}`)
    if (round === 40) break
    const nodes = [deaf, shared.node('n1'), deaf, shared.node('n2'), deaf, shared.node('n3')]
    const raced = await Promise.all(
      Array.from({ length: 18 }, async (_, index) => {
        const node = nodes[index % nodes.length] as NodeProcess
        const elsewhere = nodes[(index + 1) % nodes.length] as NodeProcess
        const { handle } = await node.submit(token, {
          sql: 'select 1::int one where sleep_ms(3) is null',
          lane: 'light',
        })
        t.regex(`${(await cancel(elsewhere, token, handle)).status}`, /^20[02]$/)
        // Read after the cancel was answered: what is still QUEUED then was cancelled before any launch.
        const [row] = await ask(shared.storeUrl, 'SELECT status FROM current_query WHERE handle = ?', [handle])
        return { handle, unlaunched: row?.status === 'QUEUED' }
      }),
    )
    for (const { handle, unlaunched } of raced) {
      handles.push(handle)
      const { status } = await shared.node('n2').ended(token, handle)
      const launched = (await launches(handle)).length > 0
      if (unlaunched) {
        t.false(launched, `${handle} was launched after its cancel had been answered`)
        t.is(status, 'CANCELED')
      }
      if (!launched) t.is(status, 'CANCELED')
      seen[launched ? 'launched' : 'never']++
    }
  }
  t.deepEqual(await brokenInvariants(shared.storeUrl, handles), [])
})
