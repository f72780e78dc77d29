/** Members that were fenced, why, and how long the takeover of their queries took. */
import type { FailoverView } from '../../client/index.ts'
import { type Column, durationText, Empty, ErrorNote, Table, Time, useNow } from '../ui/index.ts'
import { durationMs, durationsOf } from './durations.ts'
import { causeText } from './nodes.tsx'

interface Props {
  readonly failovers: readonly FailoverView[] | null
  readonly error: unknown
  readonly retry: () => void
}

export function Failovers({ failovers, error, retry }: Props) {
  const underWay = failovers?.some(({ doneAt }) => doneAt === null) ?? false
  const now = useNow(500, underWay)
  const durations = failovers ? durationsOf(failovers) : null
  const columns: Column<FailoverView>[] = [
    { title: 'Node', cell: ({ node }) => <b>{node}</b> },
    { title: 'Why', cell: ({ cause }) => <span title={cause}>{causeText(cause)}</span> },
    { title: 'Detected', cell: ({ detectedAt }) => <Time at={detectedAt} /> },
    {
      title: 'Took',
      number: true,
      cell: failover => {
        const ms = durationMs(failover)
        if (ms !== null) return durationText(ms)
        return `under way for ${durationText(now - Date.parse(failover.detectedAt))}`
      },
    },
    { title: 'Queries', number: true, cell: ({ queries }) => queries },
  ]
  return (
    <section class="card cluster-part" aria-labelledby="failovers">
      <div class="cluster-part-head">
        <h2 id="failovers">Failovers</h2>
        {durations ? (
          <span class="quiet">
            half took {durationText(durations.medianMs)} or less, the longest {durationText(durations.longestMs)}
          </span>
        ) : null}
      </div>
      {error ? <ErrorNote error={error} retry={retry} /> : null}
      {failovers ? (
        <Table
          caption="Failovers, the latest first"
          columns={columns}
          rows={failovers}
          rowKey={({ incarnation }) => incarnation}
          empty={<Empty title="No node has died">The takeover of a dead node's queries is recorded here.</Empty>}
        />
      ) : null}
    </section>
  )
}
