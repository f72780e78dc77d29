/** Where a query is, as steps: what is behind it, where it stands, what is to come, and who has it. */
import type { QueryStatus, QueryView } from '../../client/index.ts'
import { durationText, Time, useNow } from '../ui/index.ts'
import { useOwnerChanges } from './follow.ts'

const path = ['QUEUED', 'LAUNCHED', 'RUNNING', 'EXECUTED'] as const satisfies QueryStatus[]

/** How far the query came, counted in steps of `path`; those behind it are done. */
function positionOf(query: QueryView): number {
  if (query.outcome === 'SUCCESSFUL') return path.length
  const reached = path.indexOf(query.status as (typeof path)[number])
  if (reached >= 0) return reached
  // Failed, cancelled, or between two attempts: as far as its times say.
  if (query.startedAt) return 2
  return query.launchedAt ? 1 : 0
}

export function Steps({ query }: { readonly query: QueryView }) {
  const position = positionOf(query)
  const ended = query.outcome !== null
  const now = useNow(500, !ended)
  const end = query.outcome ?? 'SUCCESSFUL'
  const tone = query.outcome === 'SUCCESSFUL' ? 'good' : query.outcome === 'FAILED' ? 'bad' : 'warn'
  const elapsedMs = (query.finishedAt ? Date.parse(query.finishedAt) : now) - Date.parse(query.submittedAt)
  return (
    <div class="steps-frame">
      <ol class="steps" aria-label="Steps of the query">
        {path.map((step, index) => {
          const isCurrent = !ended && index === position
          const state = isCurrent ? 'current' : index < position ? 'done' : ended ? 'skipped' : 'ahead'
          return (
            <li key={step} class={`step ${state}`} data-step={step} aria-current={isCurrent ? 'step' : undefined}>
              <span class="step-mark" aria-hidden="true">
                {state === 'done' ? '✓' : state === 'current' ? '●' : '○'}
              </span>
              <span class="step-name">{isCurrent && query.status === 'FAILING' ? 'FAILING' : step}</span>
              <span class="step-detail">{isCurrent ? <Detail query={query} /> : null}</span>
            </li>
          )
        })}
        <li
          class={`step end ${ended ? tone : 'ahead'}`}
          data-step="END"
          aria-current={ended ? 'step' : undefined}
          data-outcome={query.outcome ?? undefined}
        >
          <span class="step-mark" aria-hidden="true">
            {ended ? { good: '✓', bad: '✕', warn: '▲' }[tone] : '○'}
          </span>
          <span class="step-name">{end}</span>
          <span class="step-detail">
            {query.status === 'CLOSED' ? 'result dropped' : ended ? durationText(elapsedMs) : null}
          </span>
        </li>
      </ol>
      <p class="visually-hidden" role="status">
        {query.status}
      </p>
      <Ownership query={query} elapsedMs={elapsedMs} />
    </div>
  )
}

function Detail({ query }: { readonly query: QueryView }) {
  const { status, queuePosition, progress } = query
  if (status === 'QUEUED')
    return <>{queuePosition === null ? 'waits for a slot' : `place ${queuePosition} in the ${query.lane} lane`}</>
  if (status !== 'RUNNING') return <>{progress.message}</>
  const { fraction } = progress
  const label = 'Progress of the query'
  return fraction === null ? (
    <progress aria-label={label} />
  ) : (
    <>
      <progress aria-label={label} max={1} value={fraction} /> {Math.floor(fraction * 100)} %
    </>
  )
}

function Ownership({ query, elapsedMs }: { readonly query: QueryView; readonly elapsedMs: number }) {
  const changes = useOwnerChanges(query)
  return (
    <div class="ownership">
      <span>
        {query.outcome === null ? 'On' : 'Ended on'} <strong data-owner={query.owner.node}>{query.owner.node}</strong>
      </span>
      {query.attempt > 0 ? <span>attempt {query.attempt}</span> : null}
      {query.lane === 'auto' ? null : <span>{query.lane} lane</span>}
      {query.engine ? <span>{query.engine}</span> : null}
      <span>
        submitted <Time at={query.submittedAt} />
      </span>
      {query.outcome === null ? <span>{durationText(elapsedMs)} so far</span> : null}
      {changes.map(change => (
        <span key={change.version} class="owner-change" data-takeover={change.to}>
          ⇄ {change.to} {change.isHandOver ? <>was given it by {change.from}</> : <>took over from {change.from}</>},{' '}
          <Time at={change.at} />
        </span>
      ))}
      {query.failedAttempts.map(failed => (
        <span key={failed.attempt} class="owner-change">
          ▲ attempt {failed.attempt} on {failed.node}: {failed.code}
        </span>
      ))}
    </div>
  )
}
