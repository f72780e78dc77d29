/** One card for each member: its state, its lease, what it does now and did in the last minutes; and who has gone. */
import type { ClusterView, FailoverView, NodeView } from '../../client/index.ts'
import { Button, Status, Time, useNow } from '../ui/index.ts'
import { type ClusterHistory, type GoneNode, leaseLeft } from './history.ts'
import { LoadChart } from './load-chart.tsx'

/** A lease runs down visibly. */
const leaseDrawnMs = 200

interface Props {
  readonly history: ClusterHistory
  readonly failovers: readonly FailoverView[]
  /** The node that answers this page, as host and port; null until one has. */
  readonly speakingTo: string | null
  /** null for those who may not. */
  readonly onDrain: ((node: NodeView) => void) | null
}

export function Nodes({ history, failovers, speakingTo, onDrain }: Props) {
  const { cluster, samples, gone, leaseSeenMs } = history
  const highest = Math.max(1, ...[...samples.values()].flat().map(({ running, queued }) => Math.max(running, queued)))
  return (
    <ul class="cluster-nodes" aria-label="Nodes">
      {cluster?.nodes.map(node => (
        <li key={node.node} class="card node" data-node={node.node} data-state={node.state}>
          <div class="node-head">
            <h2>{node.node}</h2>
            <Status value={node.state} />
            {cluster.leader?.node === node.node ? <Leader leader={cluster.leader} /> : null}
            {onDrain ? (
              <Button
                small
                kind="danger"
                disabled={node.state !== 'alive'}
                aria-label={`Drain ${node.node}`}
                onClick={() => onDrain(node)}
              >
                {node.state === 'draining' ? 'Draining…' : 'Drain'}
              </Button>
            ) : null}
          </div>
          <Lease node={node} leaseSeenMs={leaseSeenMs} />
          <LoadChart node={node} samples={samples.get(node.node) ?? []} highest={highest} />
          <dl class="node-facts">
            <dt>Address</dt>
            <dd>
              {node.address}
              {speakingTo !== null && URL.parse(node.address)?.host === speakingTo ? ' (answers this page)' : ''}
            </dd>
            <dt>Started</dt>
            <dd>
              <Time at={node.startedAt} />
            </dd>
            <dt>Version</dt>
            <dd>{node.version}</dd>
          </dl>
        </li>
      ))}
      {gone.map(node => (
        <Gone
          key={`${node.node} ${node.incarnation}`}
          node={node}
          failover={failovers.find(({ incarnation }) => incarnation === node.incarnation)}
        />
      ))}
    </ul>
  )
}

function Leader({ leader }: { readonly leader: NonNullable<ClusterView['leader']> }) {
  return (
    <span class="status active" data-leader={leader.term}>
      <span aria-hidden="true">★</span>leader, term {leader.term}
    </span>
  )
}

function Lease({ node, leaseSeenMs }: { readonly node: NodeView; readonly leaseSeenMs: number }) {
  const { leftMs, fraction } = leaseLeft(node, leaseSeenMs, useNow(leaseDrawnMs))
  const text = `${(leftMs / 1_000).toFixed(1)} s`
  return (
    <div class="lease">
      <span>Lease</span>
      <div
        role="meter"
        aria-label={`Lease of ${node.node}`}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(fraction * 100)}
        aria-valuetext={`${text} left`}
        class={fraction < 0.2 ? 'lease-bar low' : 'lease-bar'}
      >
        <div style={{ width: `${fraction * 100}%` }} />
      </div>
      <span class="lease-left">{text}</span>
    </div>
  )
}

/** A member whose lease was taken has a failover; one that took its leave has none. */
function Gone({ node, failover }: { readonly node: GoneNode; readonly failover: FailoverView | undefined }) {
  return (
    <li class="card node gone" data-node={node.node} data-state={failover ? 'dead' : 'left'}>
      <div class="node-head">
        <h2>{node.node}</h2>
        <Status value={failover ? 'dead' : 'left'} />
      </div>
      <p>
        {failover ? causeText(failover.cause) : 'No longer a member'}, missed here at <Time at={node.at} />.
      </p>
    </li>
  )
}

const causes: Readonly<Record<string, string>> = {
  'connection-lost': 'Its connections broke and it did not answer',
  'lease-expired': 'Its lease ran out',
  superseded: 'It was started anew',
}

export function causeText(cause: string): string {
  return causes[cause] ?? cause
}
