/** What was run before: newest first, by status, engine, name and time; more of it on demand. */
import { useEffect, useState } from 'preact/hooks'
import type { EngineView, QueryFilter, QueryList, QueryStatus, QueryView } from '../../client/index.ts'
import { useClient, useSession } from '../session.ts'
import { Button, Empty, ErrorNote, Status, Time } from '../ui/index.ts'

interface Filter {
  readonly status: string
  readonly engine: string
  readonly name: string
  readonly from: string
  readonly to: string
  readonly everyone: boolean
}

const noFilter: Filter = { status: '', engine: '', name: '', from: '', to: '', everyone: false }
const pageLimit = 30
const statuses: readonly [title: string, value: string][] = [
  ['any', ''],
  ['unfinished', 'QUEUED,LAUNCHED,RUNNING,EXECUTED,FAILING'],
  ['successful', 'SUCCESSFUL'],
  ['failed', 'FAILED'],
  ['canceled', 'CANCELED'],
  ['closed', 'CLOSED'],
]

/** As the wire takes it; times of the form are this machine's. */
function wireFilter(filter: Filter): QueryFilter {
  const time = (text: string) => (text === '' ? undefined : new Date(text).toISOString())
  return {
    ...(filter.status ? { status: filter.status.split(',') as QueryStatus[] } : {}),
    ...(filter.engine ? { engine: filter.engine } : {}),
    ...(filter.name.trim() ? { name: filter.name.trim() } : {}),
    ...(filter.everyone ? { user: '*' } : {}),
    from: time(filter.from),
    to: time(filter.to),
    limit: pageLimit,
  }
}

interface Props {
  readonly engines: readonly EngineView[]
  readonly current: string | null
  /** The list is read again when this changes. */
  readonly turn: string
}

export function History({ engines, current, turn }: Props) {
  const client = useClient()
  const { admin, user } = useSession()
  const [filter, setFilter] = useState(noFilter)
  const [queries, setQueries] = useState<readonly QueryView[] | null>(null)
  const [pages, setPages] = useState(1)
  const [more, setMore] = useState(false)
  const [failure, setFailure] = useState<unknown>(null)
  const [attempt, setAttempt] = useState(0)

  useEffect(() => {
    let left = false
    // All that is shown is read in one go: a page that was asked for apart could come before, or be dropped by, a newer first one.
    const read = async () => {
      const all: QueryView[] = []
      let cursor: string | null = null
      for (let page = 0; page < pages && !left && (page === 0 || cursor !== null); page++) {
        const answer: QueryList = await client.queries({ ...wireFilter(filter), cursor: cursor ?? undefined })
        all.push(...answer.queries)
        cursor = answer.nextCursor
      }
      if (left) return
      setQueries(all)
      setMore(cursor !== null)
      setFailure(null)
    }
    // While a name is typed, not every letter is asked for.
    const timer = setTimeout(() => void read().catch(error => left || setFailure(error)), 150)
    return () => {
      left = true
      clearTimeout(timer)
    }
  }, [client, filter, turn, attempt, pages])

  const select = (change: Partial<Filter>) => {
    setFilter({ ...filter, ...change })
    setPages(1)
  }
  const change = (field: keyof Filter) => (event: Event) =>
    select({ [field]: (event.currentTarget as HTMLInputElement | HTMLSelectElement).value })
  return (
    <aside class="card history" aria-label="History">
      <div class="history-head">
        <h2>History</h2>
        <Button small kind="quiet" onClick={() => setAttempt(attempt + 1)}>
          Refresh
        </Button>
      </div>
      <form class="history-filter" onSubmit={event => event.preventDefault()}>
        <label class="field">
          Status
          <select value={filter.status} onChange={change('status')}>
            {statuses.map(([title, value]) => (
              <option key={title} value={value}>
                {title}
              </option>
            ))}
          </select>
        </label>
        <label class="field">
          Engine
          <select value={filter.engine} onChange={change('engine')}>
            <option value="">any</option>
            {engines.map(({ name }) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label class="field whole">
          Name
          <input value={filter.name} onInput={change('name')} />
        </label>
        <label class="field">
          From
          <input type="datetime-local" value={filter.from} onInput={change('from')} />
        </label>
        <label class="field">
          To
          <input type="datetime-local" value={filter.to} onInput={change('to')} />
        </label>
        {admin ? (
          <label class="field inline whole">
            <input
              type="checkbox"
              checked={filter.everyone}
              onChange={event => select({ everyone: event.currentTarget.checked })}
            />
            Of all users
          </label>
        ) : null}
      </form>
      {failure ? <ErrorNote error={failure} retry={() => setAttempt(attempt + 1)} /> : null}
      {queries?.length === 0 ? <Empty title="No query matches." /> : null}
      <ul class="history-list">
        {queries?.map(query => (
          <li key={query.handle}>
            <a href={`/queries/${query.handle}`} aria-current={query.handle === current ? 'true' : undefined}>
              <span class="history-line">
                <Status value={query.status} />
                {query.name ? <b>{query.name}</b> : null}
                <span class="quiet">
                  {query.user === user ? '' : `${query.user} · `}
                  <Time at={query.submittedAt} />
                </span>
              </span>
              <code>{query.sql}</code>
            </a>
          </li>
        ))}
      </ul>
      {more ? <Button onClick={() => setPages(pages + 1)}>Older queries</Button> : null}
    </aside>
  )
}
