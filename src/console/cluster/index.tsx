/** The Cluster page: its nodes and their load, who leads, what changes hands, and how fast the dead were succeeded. */
import { useEffect, useState } from 'preact/hooks'
import type { NodeView } from '../../client/index.ts'
import { currentNode } from '../answering.ts'
import { ownNode } from '../own-node.ts'
import { useClient, useSession } from '../session.ts'
import { useStore } from '../store.ts'
import { Confirm, ErrorNote, Page, textOf, toast, useLoad } from '../ui/index.ts'
import './cluster.css'
import { Failovers } from './failovers.tsx'
import { useClusterHistory } from './follow.ts'
import { Nodes } from './nodes.tsx'
import { Ownership } from './ownership.tsx'

/** What draws the charts: loaded while nobody waits, as the node that serves it may be gone when it is needed. */
export const warm = () => import('./plot.ts')

/** A failover that is under way is asked for again after this, in milliseconds. */
const underWayMs = 1_000

export default function ClusterPage() {
  const client = useClient()
  const { admin } = useSession()
  const speakingTo = useStore(currentNode)
  const own = useStore(ownNode)
  const history = useClusterHistory(client)
  const { cluster, changes, error } = history
  // Whoever comes, goes or takes over may have made a failover.
  const members = cluster?.nodes.map(({ incarnation, state }) => `${incarnation} ${state}`).join()
  const failovers = useLoad(() => client.failovers(), [client, members, changes.length])
  const underWay = failovers.data?.some(({ doneAt }) => doneAt === null) ?? false
  useEffect(() => {
    if (!underWay) return
    const timer = setTimeout(failovers.reload, underWayMs)
    return () => clearTimeout(timer)
  }, [underWay, failovers.data])

  const [draining, setDraining] = useState<NodeView | null>(null)
  const drain = async (node: string) => {
    setDraining(null)
    try {
      await client.drain(node)
      toast(`${node} is leaving the cluster.`)
    } catch (failure) {
      toast(`${node} was not drained: ${textOf(failure)}`, 'bad')
    }
  }
  const alive = cluster?.nodes.filter(({ state }) => state === 'alive').length ?? 0
  return (
    <Page
      title="Cluster"
      beside={
        cluster ? (
          <span class="quiet" data-alive={alive}>
            {alive} of {cluster.nodes.length} {cluster.nodes.length === 1 ? 'node' : 'nodes'} alive,{' '}
            {cluster.leader ? `${cluster.leader.node} leads in term ${cluster.leader.term}` : 'nobody leads'}
          </span>
        ) : null
      }
    >
      {error ? <ErrorNote error={error} /> : null}
      {cluster ? (
        <Nodes
          history={history}
          failovers={failovers.data ?? []}
          speakingTo={speakingTo}
          onDrain={admin ? setDraining : null}
        />
      ) : (
        <p class="loading">Asking the cluster…</p>
      )}
      <div class="cluster-parts">
        <Ownership changes={changes} />
        <Failovers failovers={failovers.data} error={failovers.error} retry={failovers.reload} />
      </div>
      {draining ? (
        <Confirm
          title={`Drain ${draining.node}?`}
          act={`Drain ${draining.node}`}
          onAct={() => void drain(draining.node)}
          onCancel={() => setDraining(null)}
        >
          <p>
            It takes nothing new, gives what it has to others, and then its process ends: {draining.running} running,{' '}
            {draining.queued} queued. No query is lost.
          </p>
          {alive > 1 && own?.name === draining.node ? (
            <p>It serves this page: the page goes on at another node, but cannot be reloaded at this address.</p>
          ) : null}
          {alive <= 1 ? (
            <p class="warning">
              <strong>No other node is alive.</strong> Until one is started, nobody answers.
            </p>
          ) : null}
        </Confirm>
      ) : null}
    </Page>
  )
}
