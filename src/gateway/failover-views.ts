/** The failovers of the cluster as clients see them: the newest hundred. */
import type { FailoverView } from '../domain/index.ts'
import type { Store } from '../store/index.ts'

const failoversMax = 100

export async function failoverViews(cluster: Store['cluster']): Promise<readonly FailoverView[]> {
  const rows = await cluster.failovers(failoversMax)
  return rows.map(({ nodeId: node, incarnation, cause, detectedAt, doneAt, queries }) => ({
    node,
    incarnation,
    cause,
    detectedAt,
    doneAt,
    queries,
  }))
}
