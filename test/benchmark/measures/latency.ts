/** How long a submission and a status request take at half of what the node can do, queueing included. */
import type { NodeProcess } from '../../support/nodes.ts'
import { type Bench, unlimited } from '../bench.ts'
import { Floors } from '../floors.ts'
import { openLoop } from '../load.ts'
import { lanes, NodeLoad } from '../node-load.ts'
import { latencyRow, milliseconds, perSecond, spreadOf } from '../report.ts'

export function measureLatency(bench: Bench): Promise<void> {
  const { roundMs, rounds } = bench
  return bench.withCluster(1, { ...unlimited, ...lanes }, async (cluster, url) => {
    const floors = new Floors(url, roundMs)
    await floors.prepare()
    const load = await NodeLoad.on(cluster.nodes[0] as NodeProcess, bench.databasePid)
    await load.whole(roundMs)
    const submitsPerSecond = (await load.whole(roundMs)) / 2
    const statusesPerSecond = (await load.statuses(roundMs)) / 2
    const commits: number[] = []
    const submits: number[] = []
    const statuses: number[] = []
    for (let round = 0; round < rounds; round++) {
      commits.push(...(await floors.singleCommits(Math.min(roundMs, 1_000))))
      submits.push(...(await openLoop(submitsPerSecond, roundMs, () => load.submit())))
      // The queries of this round end before statuses are asked for.
      await load.whole(1)
      statuses.push(...(await openLoop(statusesPerSecond, roundMs, () => load.poll())))
    }
    load.close()
    await floors.close()
    bench.tell(
      latencyRow(
        `submit at half load (${perSecond(submitsPerSecond)})`,
        spreadOf(submits),
        4,
        15,
        `one commit, nothing else going on: ${milliseconds(spreadOf(commits))}`,
      ),
      latencyRow(`status at half load (${perSecond(statusesPerSecond)})`, spreadOf(statuses), 1.5, 6),
    )
  })
}
