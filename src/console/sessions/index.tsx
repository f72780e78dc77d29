/** The Sessions page: who is connected (oneself; for admins everybody), with what settings, until when; and how to end it. */
import { useState } from 'preact/hooks'
import type { SessionView } from '../../client/index.ts'
import { isBuilt } from '../pages.tsx'
import { signOut, useClient, useSession } from '../session.ts'
import {
  Button,
  type Column,
  Confirm,
  durationText,
  Empty,
  ErrorNote,
  Page,
  Status,
  Table,
  Time,
  textOf,
  toast,
  useNow,
} from '../ui/index.ts'
import { useSessions } from './follow.ts'
import { Properties } from './properties.tsx'
import './sessions.css'

export default function SessionsPage() {
  const client = useClient()
  const own = useSession()
  const { data, error, loading, reload, more } = useSessions(client)
  const [closing, setClosing] = useState<SessionView | null>(null)
  const [user, setUser] = useState('')

  const close = async (session: SessionView, cancelQueries: boolean) => {
    setClosing(null)
    // Its own token is worth nothing from then on.
    if (session.id === own.id) return signOut({ cancelQueries })
    try {
      await client.request('DELETE', `/api/v1/sessions/${session.id}?cancelQueries=${cancelQueries}`)
      toast(`The session of ${session.user} is closed.`)
    } catch (failure) {
      toast(`The session was not closed: ${textOf(failure)}`, 'bad')
    }
    reload()
  }
  const wanted = user.trim().toLowerCase()
  const shown = data?.sessions.filter(session => session.user.toLowerCase().includes(wanted)) ?? []
  return (
    <Page
      title="Sessions"
      beside={
        data ? (
          <span class="quiet" data-count={data.sessions.length}>
            {data.sessions.length}
            {data.hasMore ? ' and more' : ''} open, {own.admin ? "everybody's" : 'yours'}
          </span>
        ) : null
      }
      actions={
        <>
          {own.admin ? (
            <input
              type="search"
              aria-label="User"
              placeholder="User"
              value={user}
              onInput={event => setUser(event.currentTarget.value)}
            />
          ) : null}
          <Button onClick={reload} disabled={loading}>
            Refresh
          </Button>
        </>
      }
    >
      {error ? <ErrorNote error={error} retry={reload} /> : null}
      {data ? (
        <div class="card">
          <Table
            caption="Sessions, the latest first"
            columns={columnsFor(own.id, setClosing)}
            rows={shown}
            rowKey={({ id }) => id}
            stacks
            empty={<Empty title={wanted === '' ? 'No session is open' : 'No session of such a user'} />}
          />
        </div>
      ) : (
        <p class="loading">Reading the sessions…</p>
      )}
      {data?.hasMore ? <Button onClick={more}>Older sessions</Button> : null}
      {closing ? (
        <Closing
          session={closing}
          isOwn={closing.id === own.id}
          onClose={cancelQueries => void close(closing, cancelQueries)}
          onCancel={() => setClosing(null)}
        />
      ) : null}
    </Page>
  )
}

function columnsFor(ownId: string, onClose: (session: SessionView) => void): Column<SessionView>[] {
  return [
    {
      title: 'User',
      cell: ({ id, user }) => (
        <span class="session-user">
          <b>{user}</b>
          {id === ownId ? <span class="status active">this page</span> : null}
        </span>
      ),
    },
    {
      title: 'Session',
      cell: ({ id }) => (
        <code class="session-id" title={id}>
          …{id.slice(-12)}
        </code>
      ),
    },
    { title: 'Status', cell: ({ status }) => <Status value={status} /> },
    { title: 'Database', cell: ({ database }) => database ?? <span class="quiet">none</span> },
    { title: 'Properties', cell: ({ properties }) => <Properties properties={properties} /> },
    {
      title: 'Opened',
      cell: ({ createdAt }) => (
        <span class="session-opened">
          <Time at={createdAt} />
        </span>
      ),
    },
    { title: 'Expires', cell: ({ expiresAt }) => <Expiry at={expiresAt} /> },
    {
      title: 'Actions',
      cell: session => (
        <span class="session-actions">
          {isBuilt('machines') ? (
            <a
              class="button small"
              href={`/machines/${session.id}`}
              aria-label={`Machine of ${session.user}'s session`}
            >
              Machine
            </a>
          ) : null}
          <Button small kind="danger" aria-label={`Close ${session.user}'s session`} onClick={() => onClose(session)}>
            Close
          </Button>
        </span>
      ),
    },
  ]
}

/** Use puts it off: what is left is counted from the last reading. */
function Expiry({ at }: { readonly at: string }) {
  const leftMs = Date.parse(at) - useNow(10_000)
  return (
    <span class="expiry">
      {leftMs > 0 ? `in ${durationText(leftMs)}` : 'now'}{' '}
      <span class="quiet">
        (<Time at={at} />)
      </span>
    </span>
  )
}

interface ClosingProps {
  readonly session: SessionView
  readonly isOwn: boolean
  readonly onClose: (cancelQueries: boolean) => void
  readonly onCancel: () => void
}

function Closing({ session, isOwn, onClose, onCancel }: ClosingProps) {
  const [cancelQueries, setCancelQueries] = useState(false)
  return (
    <Confirm
      title={isOwn ? 'Close the session of this page?' : `Close ${session.user}'s session?`}
      act={isOwn ? 'Close and sign out' : 'Close session'}
      onAct={() => onClose(cancelQueries)}
      onCancel={onCancel}
    >
      <p>
        Its token is refused by all nodes from then on.
        {isOwn ? ' You are signed out here.' : ''} Its queries run on and their results remain, unless they are
        cancelled.
      </p>
      <label class="field inline">
        <input
          type="checkbox"
          checked={cancelQueries}
          onChange={event => setCancelQueries(event.currentTarget.checked)}
        />
        Cancel its unfinished queries
      </label>
    </Confirm>
  )
}
