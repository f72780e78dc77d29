/** The machine of one query: where it is, how it came there, and any moment of its past. */
import { useCallback, useMemo, useState } from 'preact/hooks'
import { LensClientError, type MachineGraph } from '../../client/index.ts'
import { useClient } from '../session.ts'
import { Empty, ErrorNote, Status, textOf } from '../ui/index.ts'
import { Chart } from './chart.tsx'
import { activePaths, takenBetween } from './chart-graph.ts'
import { useFollowedMachine, useMoments } from './follow.ts'
import { lanesOf } from './lanes.ts'
import { Moment } from './moment.tsx'
import { Replay } from './replay.tsx'
import { Timeline } from './timeline.tsx'

export function QueryMachine({ handle, machine }: { readonly handle: string; readonly machine: MachineGraph }) {
  const { query, transitions, error, retry } = useFollowedMachine(handle)
  const [picked, setPicked] = useState<number | null>(null)
  const last = query?.version ?? 0
  const version = Math.min(picked ?? last, last)
  const seen = useMemo(() => transitions.filter(transition => transition.version <= last), [transitions, last])
  const lanes = useMemo(() => lanesOf(seen), [seen])
  const transition = seen.find(each => each.version === version) ?? null
  const client = useClient()
  const past = useCallback((wanted: number) => client.queryMachine(handle, wanted), [client, handle])
  const { now, before, error: momentError } = useMoments(past, handle, version, transition !== null)

  if (error instanceof LensClientError && (error.code === 'NOT_FOUND' || error.code === 'REQUEST_INVALID')) {
    return (
      <Empty title="There is no such machine">It does not exist, is no longer kept, or belongs to somebody else.</Empty>
    )
  }
  if (error && !query) return <ErrorNote error={error} retry={retry} />
  if (!query) return <p class="loading">Asking for the machine…</p>

  const isLive = picked === null
  // The status is there at once; the value, which knows nested states, a round trip later.
  const status = isLive ? query.status : (transition?.to ?? query.status)
  const active = now ? activePaths(now.value) : [status]
  const former = version === 1 ? machine.initial : before?.value
  const taken = transition && now && former ? takenBetween(machine, transition.event, former, now.value) : null
  const text = `Version ${version} of ${last}: ${transition ? `${transition.event} on ${transition.node}, ${transition.to}` : status}`
  return (
    <>
      <div class="machine-head">
        <Status value={status} />
        <code class="machine-id">{handle}</code>
        <span class="quiet">
          on <strong data-owner={query.owner.node}>{query.owner.node}</strong>, epoch {query.owner.epoch}
        </span>
        <a href={`/queries/${handle}`}>Query</a>
      </div>
      {error ? <ErrorNote error={error} retry={retry} /> : null}
      <div class="machine-body">
        <div class="card machine-chart">
          <Replay {...{ version, last, text, isLive }} hasEnded={query.outcome !== null} onMove={to => setPicked(to)} />
          <Chart machine={machine} label="Statechart of this query" active={active} taken={taken} />
        </div>
        <aside class="card machine-side" aria-label="Steps and context">
          <h2>Steps</h2>
          <Timeline lanes={lanes} version={version} onPick={to => setPicked(to >= last ? null : to)} />
          <h2>
            Context <span class="quiet">at version {version}</span>
          </h2>
          {now ? (
            <Moment moment={now} before={before} />
          ) : (
            <p class="machine-note">{momentError ? textOf(momentError) : 'Asking for that moment…'}</p>
          )}
        </aside>
      </div>
    </>
  )
}
