/** Both statecharts with how many are in each state, and the way to the machine of one query or session. */
import { useState } from 'preact/hooks'
import type { MachineGraph } from '../../client/index.ts'
import { navigate } from '../routes.ts'
import { useClient, useSession } from '../session.ts'
import { Button, Empty, Status, Time, useLoad } from '../ui/index.ts'
import { Chart } from './chart.tsx'
import { useCounts } from './counts.ts'

interface Props {
  readonly machines: { readonly query: MachineGraph; readonly session: MachineGraph }
}

const tabs = [
  { name: 'query', title: 'Queries' },
  { name: 'session', title: 'Sessions' },
] as const
type Tab = (typeof tabs)[number]['name']

export function AllMachines({ machines }: Props) {
  const [tab, setTab] = useState<Tab>('query')
  const { admin } = useSession()
  const counts = useCounts()
  const shown = counts ? (tab === 'query' ? counts.queries : counts.sessions) : undefined
  const sum = Object.values(shown ?? {}).reduce((total, count) => total + count, 0)
  const pick = (event: KeyboardEvent) => {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return
    const next = tab === 'query' ? 'session' : 'query'
    setTab(next)
    document.getElementById(`machines-tab-${next}`)?.focus()
  }
  return (
    <>
      <div class="machine-head">
        <div class="machine-tabs" role="tablist" aria-label="Machine" onKeyDown={pick}>
          {tabs.map(({ name, title }) => (
            <button
              key={name}
              type="button"
              role="tab"
              id={`machines-tab-${name}`}
              aria-selected={tab === name}
              aria-controls="machines-chart"
              tabIndex={tab === name ? 0 : -1}
              onClick={() => setTab(name)}
            >
              {title}
            </button>
          ))}
        </div>
        <span class="quiet" role="status">
          {counts === null
            ? 'Counting…'
            : `${sum} ${tab === 'query' ? (sum === 1 ? 'unfinished query' : 'unfinished queries') : sum === 1 ? 'session' : 'sessions'} ${admin ? 'of everybody' : 'of yours'}`}
        </span>
      </div>
      <div class="machine-body">
        <div class="card machine-chart" role="tabpanel" id="machines-chart" aria-labelledby={`machines-tab-${tab}`}>
          <Chart
            key={tab}
            machine={machines[tab]}
            label={`Statechart of ${tab === 'query' ? 'queries' : 'sessions'}`}
            counts={shown}
          />
        </div>
        <aside class="card machine-side" aria-label="Machines">
          <Find />
          <h2>{tab === 'query' ? 'Latest queries' : 'Sessions'}</h2>
          {tab === 'query' ? <LatestQueries turn={JSON.stringify(shown)} /> : <Sessions turn={JSON.stringify(shown)} />}
        </aside>
      </div>
    </>
  )
}

function Find() {
  const [text, setText] = useState('')
  const go = (event: Event) => {
    event.preventDefault()
    if (text.trim() !== '') navigate(`/machines/${encodeURIComponent(text.trim())}`)
  }
  return (
    <form class="machine-find" onSubmit={go}>
      <label class="field">
        Handle of a query, or id of a session
        <input value={text} spellcheck={false} onInput={event => setText(event.currentTarget.value)} />
      </label>
      <Button type="submit">Open</Button>
    </form>
  )
}

/** The lists are read again when the counts change: then something moved. */
function LatestQueries({ turn }: { readonly turn: string }) {
  const client = useClient()
  const { admin } = useSession()
  const { data } = useLoad(() => client.queries({ limit: 15, ...(admin ? { user: '*' } : {}) }), [client, admin, turn])
  if (data?.queries.length === 0) return <Empty title="No query yet" />
  return (
    <ul class="machine-list">
      {data?.queries.map(({ handle, name, sql, status, submittedAt }) => (
        <li key={handle}>
          <a href={`/machines/${handle}`}>
            <span class="machine-line">
              <Status value={status} />
              <span class="quiet">
                <Time at={submittedAt} />
              </span>
            </span>
            <code>{name ?? sql}</code>
          </a>
        </li>
      ))}
    </ul>
  )
}

function Sessions({ turn }: { readonly turn: string }) {
  const client = useClient()
  const { data } = useLoad(() => client.sessions({ limit: 30 }), [client, turn])
  return (
    <ul class="machine-list">
      {data?.sessions.map(({ id, user, status, createdAt }) => (
        <li key={id}>
          <a href={`/machines/${id}`}>
            <span class="machine-line">
              <Status value={status} />
              <span class="quiet">
                {user} · <Time at={createdAt} />
              </span>
            </span>
            <code>{id}</code>
          </a>
        </li>
      ))}
    </ul>
  )
}
