/** Whole queries, from the submission to the stored rows, beside what job queues do with a durable no-op. */
import type { NodeProcess } from '../../support/nodes.ts'
import { type Bench, unlimited } from '../bench.ts'
import { concurrency, lanes, NodeLoad } from '../node-load.ts'
import { type Peer, Peers } from '../peers.ts'
import { median, type Row, rates, ratioOf, withCost } from '../report.ts'

interface Contestant {
  readonly name: string
  readonly round: (forMs: number) => Promise<number>
  readonly rates: number[]
}

export function measureWhole(bench: Bench): Promise<void> {
  return bench.withCluster(1, { ...unlimited, ...lanes }, async cluster => {
    const load = await NodeLoad.on(cluster.nodes[0] as NodeProcess, bench.databasePid)
    const peers = bench.peers ? await Peers.start() : null
    try {
      const ours = await inRounds(bench, 'whole queries', forMs => load.whole(forMs), peers?.all ?? [], 'whole')
      const best = bestOf(ours.peers)
      bench.tell(absolute(ours.node.rates, `${load.cost.whole}`))
      if (best) bench.tell(besideBest(ours.node.rates, best), ...ours.peers.map(peer => forComparison(peer, 'done')))
      if (!peers) return
      const submitted = await inRounds(
        bench,
        'submissions, beside the peers',
        forMs => load.submissions(forMs),
        peers.all,
        'submissions',
      )
      bench.tell(
        { ...forComparison(submitted.node, ''), name: submitted.node.name },
        ...submitted.peers.map(peer => forComparison(peer, 'enqueued')),
      )
    } finally {
      await peers?.stop()
      load.close()
    }
  })
}

/** A round of each in turns; the first round of each, uncounted, is there to warm it up. */
async function inRounds(
  bench: Bench,
  name: string,
  ofNode: (forMs: number) => Promise<number>,
  peers: readonly Peer[],
  what: 'whole' | 'submissions',
): Promise<{ node: Contestant; peers: readonly Contestant[] }> {
  const node: Contestant = { name, round: ofNode, rates: [] }
  const others = peers.map(
    (peer): Contestant => ({
      name: `${peer.name} ${peer.version} (${peer.settings}; ${peer.server})`,
      round: forMs => peer[what](forMs),
      rates: [],
    }),
  )
  const all = [node, ...others]
  for (const each of all) await each.round(Math.min(1_000, bench.roundMs))
  for (let round = 0; round < bench.rounds; round++)
    for (const each of all) each.rates.push(await each.round(bench.roundMs))
  return { node, peers: others }
}

function bestOf(peers: readonly Contestant[]): Contestant | null {
  return peers.reduce<Contestant | null>(
    (best, peer) => (best === null || median(peer.rates) > median(best.rates) ? peer : best),
    null,
  )
}

function absolute(measured: readonly number[], cost: string): Row {
  const perSecond = 1_500
  return {
    name: 'whole queries, submit → SUCCESSFUL with rows stored',
    target: '≥ 1,500/s',
    measured: withCost(rates(measured), cost),
    floor: '',
    ratio: median(measured) / perSecond,
    met: median(measured) >= perSecond,
    figures: measured,
  }
}

function besideBest(measured: readonly number[], best: Contestant): Row {
  const ratio = ratioOf({ measured, floor: best.rates })
  return {
    name: `whole queries beside durable no-ops of job queues, ${concurrency} clients each`,
    target: '≥ the best of pg-boss, graphile-worker, BullMQ, DBOS',
    measured: rates(measured),
    floor: `${best.name}: ${rates(best.rates)}`,
    ratio,
    met: ratio >= 1,
    figures: [...measured, ...best.rates],
  }
}

function forComparison({ name, rates: measured }: Contestant, done: string): Row {
  return {
    ...{ name: `· ${name}, ${done}`, target: '', measured: rates(measured), floor: '', ratio: null, met: null },
    figures: measured,
  }
}
