/**
 * Who is dead: only who refuses at an address that was seen to be its own, or is answered for by another incarnation. Silence
 * proves nothing, an address that never led to its node proves nothing, and who was wrongly taken for dead comes back.
 *
 * Each node's advertised address belongs to the test, which decides what stands there.
 */
import test, { type ExecutionContext } from 'ava'
import { eventually } from '../support/conditions.ts'
import { directRows, longStatement } from '../support/flights.ts'
import { type Conduct, Front } from '../support/front.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { freePort } from '../support/ports.ts'

const mysql = mysqlDatabases(test)

interface Scene {
  readonly t: ExecutionContext
  readonly url: string
  readonly cluster: TestCluster
  /** The node whose address the test has in its hands; it does not lead. */
  readonly suspect: NodeProcess
  readonly front: Front
  readonly others: readonly [NodeProcess, NodeProcess]
}

/** `first`: what stands at the suspect's address while it starts. */
async function startScene(t: ExecutionContext, first: Conduct = 'forward'): Promise<Scene> {
  const url = await mysql.create(t)
  const cluster = new TestCluster(url, { LENS_LIMITS_RUNNING_PER_USER: '1000' })
  t.teardown(() => cluster.stop())
  const others = [await cluster.start({ name: 'n1' }), await cluster.start({ name: 'n2' })] as const
  await Promise.all(others.map(node => node.ready()))
  await cluster.settled(2)
  const port = await freePort()
  const front = await Front.start(t, port, first)
  const suspect = await cluster.start({ name: 'suspect', port, env: { LENS_ADVERTISE_URL: front.url } })
  await suspect.ready()
  await cluster.settled(3)
  const scene: Scene = { t, url, cluster, suspect, front, others }
  if (first === 'forward') await isTrusted(scene)
  return scene
}

/** Its address was seen to be its own, and both others speak to it there: what becomes of the address is a suspicion from now on. */
async function isTrusted(scene: Scene): Promise<void> {
  await eventually(
    () => membersOf(scene),
    rows => rows.length === 1 && rows[0]?.early_takeover_from !== null,
    { what: 'the suspect has proved its address' },
  )
  for (const node of scene.others)
    await eventually(
      () => node.metrics(),
      text => /^lens_peers 2$/m.test(text),
      { what: `${node.name} is connected to both others` },
    )
}

const membersOf = ({ url, suspect }: Scene) =>
  ask(url, "SELECT incarnation, state, early_takeover_from FROM member WHERE node_id = ? AND state <> 'dead'", [
    suspect.name,
  ])
const incarnationOf = async (scene: Scene) => String((await membersOf(scene))[0]?.incarnation)
const failoversOf = ({ url, suspect }: Scene) =>
  ask(url, 'SELECT incarnation, cause, done_at FROM failover WHERE node_id = ? ORDER BY detected_at', [suspect.name])

/** The next verdicts of both others about an incarnation of the suspect, from these places in their logs on. */
async function verdicts({ others }: Scene, incarnation: string, from: readonly number[]): Promise<unknown[]> {
  return Promise.all(
    others.map(
      async (node, index) =>
        (
          await eventually(
            () =>
              node.log
                .slice(from[index])
                .find(({ msg, memberIncarnation }) => msg === 'probed a suspect' && memberIncarnation === incarnation),
            Boolean,
            { what: `the verdict of ${node.name}` },
          )
        )?.verdict,
    ),
  )
}

/** Something long runs on the suspect; the handle, and a check that it ends well on another. */
async function busy({ t, url, suspect, others }: Scene) {
  const { token } = await others[0].session('alice')
  const sql = longStatement(80)
  const { handle } = await suspect.submit(token, { sql })
  await eventually(
    () => ask(url, "SELECT handle FROM current_query WHERE handle = ? AND status = 'RUNNING'", [handle]),
    rows => rows.length > 0,
    { what: 'the query runs' },
  )
  return {
    handle,
    endsWell: async () => {
      const query = await others[0].ended(token, handle)
      t.is(query.status, 'SUCCESSFUL', JSON.stringify(query.error))
      t.deepEqual(await others[0].rows(token, handle), (await directRows(sql)) as unknown[][])
    },
  }
}

/** It joined again as somebody new, who is not to be taken over early for an hour. */
async function comesBackWithoutTrust(scene: Scene, lost: string): Promise<void> {
  const { t, url, suspect } = scene
  const [member] = await eventually(
    () => membersOf(scene),
    rows => rows.length === 1 && rows[0]?.incarnation !== lost,
    { what: 'the suspect joins again' },
  )
  const [{ now_ms }] = (await ask(url, 'SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) AS now_ms')) as [
    { now_ms: number },
  ]
  const from = member?.early_takeover_from
  t.true(from === null || Number(from) - Number(now_ms) > 3_500_000, `early takeover is off for an hour: ${from}`)
  t.true(
    suspect.log.some(({ msg }) => /^this process was taken over early although it lives/.test(msg ?? '')),
    'it says so',
  )
  await suspect.ready()
}

for (const conduct of ['refuse', 'impostor'] as const)
  test.serial(
    `an address that begins to ${conduct === 'refuse' ? 'refuse' : 'answer as another incarnation'} while its node lives: taken over early, fenced, back, and trusted less`,
    async t => {
      const scene = await startScene(t)
      const { suspect, front, url } = scene
      const work = await busy(scene)
      const lost = await incarnationOf(scene)
      const before = suspect.log.length
      await front.become(conduct)
      const [failover] = await eventually(
        () => failoversOf(scene),
        rows => rows.length === 1,
        { what: 'the takeover' },
      )
      t.is(failover?.incarnation, lost)
      t.is(failover?.cause, 'connection-lost', 'nobody waited for the lease')
      await eventually(
        () => suspect.log.slice(before).some(({ msg }) => /^this incarnation was fenced/.test(msg ?? '')),
        Boolean,
        { what: 'the suspect notices' },
      )
      t.true(suspect.running)
      await comesBackWithoutTrust(scene, lost)
      await work.endsWell()

      // The address leads to it again, but it is believed to be dead only by its lease.
      await front.become('forward')
      const second = await busy(scene)
      const incarnation = await incarnationOf(scene)
      await suspect.kill()
      await eventually(
        () => failoversOf(scene),
        rows => rows.length === 2,
        { what: 'the takeover of the dead' },
      )
      const last = (await failoversOf(scene))[1]
      t.like(last, { incarnation, cause: 'lease-expired' })
      await second.endsWell()
      t.deepEqual(await brokenInvariants(url, [work.handle, second.handle]), [])
    },
  )

test.serial(
  'an address that falls silent: the lease decides, first that its node lives, then that it is dead',
  async t => {
    const scene = await startScene(t)
    const { suspect, front, url, others } = scene
    const incarnation = await incarnationOf(scene)
    const from = others.map(node => node.log.length)
    await front.become('silent')
    t.deepEqual(await verdicts(scene, incarnation, from), ['unknown', 'unknown'])
    t.deepEqual(await failoversOf(scene), [])
    const work = await busy(scene)
    await work.endsWell()
    t.is(await incarnationOf(scene), incarnation, 'it was never fenced')
    t.deepEqual(await failoversOf(scene), [])

    const second = await busy(scene)
    await suspect.kill()
    const [failover] = await eventually(
      () => failoversOf(scene),
      rows => rows.length === 1,
      { what: 'the takeover' },
    )
    t.like(failover, { incarnation, cause: 'lease-expired' })
    await second.endsWell()
    t.deepEqual(await brokenInvariants(url, [work.handle, second.handle]), [])
  },
)

for (const conduct of ['refuse', 'impostor'] as const)
  test.serial(
    `an advertised address where ${conduct === 'refuse' ? 'nobody listens' : 'somebody else answers'} from the start: no early takeover ever`,
    async t => {
      const scene = await startScene(t, conduct)
      const { suspect, url, others } = scene
      t.true(
        suspect.log.some(({ msg }) => /^the advertised address does not answer as this node/.test(msg ?? '')),
        'it says so',
      )
      const incarnation = await incarnationOf(scene)
      // Refused at each dial: suspicions there are, but no proof.
      const work = await busy(scene)
      await work.endsWell()
      t.deepEqual(await failoversOf(scene), [])
      t.is(await incarnationOf(scene), incarnation)
      t.is((await membersOf(scene))[0]?.early_takeover_from, null)

      const second = await busy(scene)
      await suspect.kill()
      const [failover] = await eventually(
        () => failoversOf(scene),
        rows => rows.length === 1,
        { what: 'the takeover' },
      )
      t.like(failover, { incarnation, cause: 'lease-expired' })
      await second.endsWell()
      t.false(
        others.some(node => node.log.some(({ msg, verdict }) => msg === 'probed a suspect' && verdict === 'dead')),
        'nobody ever called it dead',
      )
      t.deepEqual(await brokenInvariants(url, [work.handle, second.handle]), [])
    },
  )

test.serial(
  'a second live process of the same name ends with a clear error, and the first is never fenced',
  async t => {
    const scene = await startScene(t)
    const { suspect, cluster, url } = scene
    const incarnation = await incarnationOf(scene)
    const work = await busy(scene)
    const second = await cluster.start({ name: suspect.name })
    const exit = await second.exited
    t.is(exit.signal, null)
    t.is(exit.code, 1)
    const said = second.log.map(line => JSON.stringify(line)).join('\n')
    t.regex(said, /Another live process is the node \\?"suspect/)
    t.true(said.includes(incarnation), 'and says who')
    t.regex(said, /LENS_NODE_ID/, 'and what to do')
    await work.endsWell()
    t.is(await incarnationOf(scene), incarnation)
    t.deepEqual(await ask(url, 'SELECT * FROM failover'), [])
    t.deepEqual(await brokenInvariants(url, [work.handle]), [])
  },
)
