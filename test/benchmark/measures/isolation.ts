/**
 * What no closed socket tells: a node whose cable is pulled, one that hears nothing from the database any more, one that is frozen.
 * Their queries go on elsewhere when their lease is over. Then each wakes, with the ends of its queries in its hands, and tries to
 * write them: what of it is accepted, and how long until it has a new incarnation, that is, has noticed by itself.
 */
import { Stage } from '../../faults/stage.ts'
import { ask } from '../../support/invariants.ts'
import { eventually, type NodeProcess } from '../../support/nodes.ts'
import { sleepingFor } from '../../support/sleeping.ts'
import type { Bench } from '../bench.ts'
import { boundRow, latencyRow, spreadOf } from '../report.ts'
import { type Separated, startSeparated } from '../separated.ts'
import { sizeOf } from '../sizes.ts'
import { incarnationOf, Watched } from '../takeover.ts'

interface Cut {
  readonly name: string
  /** Why it cannot be done here; null: it can. */
  readonly impossible: string | null
  begin(victim: NodeProcess): unknown
  heal(victim: NodeProcess): unknown
}

const perTrial = 3
/** Ends at its engine while its node is cut off, so that the node has something to write when it wakes. */
const sql = sleepingFor(1_500)

function cutsOf({ network, wires }: Separated): readonly Cut[] {
  return [
    {
      name: 'frozen (SIGSTOP)',
      impossible: null,
      begin: victim => victim.signal('SIGSTOP'),
      heal: victim => victim.signal('SIGCONT'),
    },
    {
      name: 'unplugged (its veth taken down)',
      impossible: network ? null : 'network namespaces need root',
      begin: victim => network?.unplug(victim.name),
      heal: victim => network?.plug(victim.name),
    },
    {
      name: 'cut off from the database (the wire is silent)',
      impossible: null,
      begin: victim => wires.get(victim)?.pause(),
      heal: victim => wires.get(victim)?.resume(),
    },
  ]
}

/** About 8 s a trial; `LENS_BENCH_CUTS` trials of each kind, with three queries each. */
export async function measureIsolation(bench: Bench): Promise<void> {
  const stage = new Stage()
  const trials = sizeOf(bench, 'CUTS', 17, 1)
  try {
    const separated = await startSeparated(stage, bench)
    const downMs: number[] = []
    let refused = 0
    for (const cut of cutsOf(separated)) {
      if (cut.impossible) {
        bench.tell(unmeasured(`failover: ${cut.name}`, cut.impossible))
        continue
      }
      const times: number[] = []
      for (let trial = 0; trial < trials; trial++) {
        const one = await oneTrial(separated, cut)
        times.push(...one.times)
        downMs.push(one.downMs)
        refused += one.refused
      }
      bench.tell(latencyRow(`failover: ${cut.name}`, spreadOf(times), 2_200, 3_000, 'the lease: 2,000 ms'))
    }
    const accepted = await acceptedOfZombies(separated.storeUrl)
    bench.tell(latencyRow('a zombie wakes: until it has stepped down', spreadOf(downMs), 2_000, 2_000), {
      ...boundRow('a zombie wakes: writes accepted', accepted, 0, ''),
      floor: `${downMs.length} zombies with ${downMs.length * perTrial} ended queries in their hands; ${refused} refusals counted by them`,
    })
  } finally {
    await stage.end()
  }
}

function unmeasured(name: string, why: string) {
  return {
    name,
    target: 'p50 ≤ 2200 ms, p99 ≤ 3000 ms',
    measured: `not measured: ${why}`,
    floor: '',
    ratio: null,
    met: false,
    figures: [],
  }
}

async function oneTrial({ cluster }: Separated, cut: Cut) {
  const leader = await cluster.leader()
  const victim = cluster.running.find(node => node !== leader) as NodeProcess
  const watched = await Watched.start(victim, leader, perTrial, sql)
  const before = await incarnationOf(victim)
  const refusedBefore = await fencedOf(victim)
  const from = performance.now()
  await cut.begin(victim)
  const times = await watched.movedAfter(from, victim)
  // The statements of the old owner end meanwhile at its engine, which nobody froze.
  await eventually('all ended elsewhere', () =>
    watched.handles.every(handle => watched.watch.seen.get(handle)?.at(-1)?.outcome !== null),
  )
  const woken = performance.now()
  await cut.heal(victim)
  await eventually('it has another incarnation', async () => {
    const now = await incarnationOf(victim)
    return now !== null && now !== before
  })
  const downMs = performance.now() - woken
  await cluster.settled(cluster.running.length)
  const refused = (await fencedOf(victim)) - refusedBefore
  await watched.end(leader)
  return { times, downMs, refused }
}

const fencedOf = async (node: NodeProcess): Promise<number> =>
  Number(/^lens_fenced_total (\d+)/m.exec(await node.metrics())?.[1] ?? 0)

/** Versions that an owner wrote after a later one had taken over, and pages of an attempt that is not the one that ended. */
async function acceptedOfZombies(storeUrl: string): Promise<number> {
  const [late] = await ask(
    storeUrl,
    'SELECT COUNT(*) AS n FROM query_transition late JOIN query_transition claim ON claim.handle = late.handle AND claim.version < late.version AND claim.epoch > late.epoch',
  )
  const [pages] = await ask(
    storeUrl,
    'SELECT COUNT(*) AS n FROM result_page JOIN finished_query USING (handle) WHERE result_page.attempt <> finished_query.attempt',
  )
  const [left] = await ask(
    storeUrl,
    "SELECT COUNT(*) AS n FROM current_query JOIN member ON member.incarnation = owner_incarnation WHERE state = 'dead'",
  )
  return Number(late?.n) + Number(pages?.n) + Number(left?.n)
}
