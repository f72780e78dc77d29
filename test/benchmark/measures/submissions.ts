/** Submissions over HTTP beside the inserts that the same database does for nobody. */
import type { NodeProcess } from '../../support/nodes.ts'
import { type Bench, unlimited } from '../bench.ts'
import { Floors } from '../floors.ts'
import { lanes, NodeLoad } from '../node-load.ts'
import { inTurns, rateRow } from '../report.ts'

export function measureSubmissions(bench: Bench): Promise<void> {
  return bench.withCluster(1, { ...unlimited, ...lanes }, async (cluster, url) => {
    const floors = new Floors(url, bench.roundMs)
    await floors.prepare()
    const load = await NodeLoad.on(cluster.nodes[0] as NodeProcess, bench.databasePid)
    const rounds = await inTurns(
      bench.rounds,
      () => floors.autocommitInserts(),
      () => load.submissions(bench.roundMs),
    )
    load.close()
    await floors.close()
    bench.tell(
      rateRow(
        'submissions over HTTP, session validated, row durable',
        rounds,
        'bare single-row inserts',
        0.8,
        `${load.cost.submission}`,
      ),
    )
  })
}
