/** One query: where it stands, what can be done to it, and what it gave. */
import { useEffect } from 'preact/hooks'
import { LensClientError, type QueryView } from '../../client/index.ts'
import { isBuilt } from '../pages.tsx'
import { useClient } from '../session.ts'
import { Button, Empty, ErrorNote, Status, textOf, toast } from '../ui/index.ts'
import { useFollowed } from './follow.ts'
import { Result } from './result.tsx'
import { Steps } from './steps.tsx'

interface Props {
  readonly handle: string
  /** Called with every state of the query that is seen. */
  readonly onSeen: (query: QueryView) => void
}

export function RunView({ handle, onSeen }: Props) {
  const client = useClient()
  const { query, error, retry } = useFollowed(handle)
  useEffect(() => {
    if (query) onSeen(query)
  }, [query])
  if (error instanceof LensClientError && (error.code === 'NOT_FOUND' || error.code === 'REQUEST_INVALID')) {
    return (
      <Empty title="There is no such query">It does not exist, is no longer kept, or belongs to somebody else.</Empty>
    )
  }
  if (error && !query) return <ErrorNote error={error} retry={retry} />
  if (!query) return <p class="loading">Asking for the query…</p>
  const cancel = () =>
    client
      .handle(handle)
      .cancel()
      .then(
        () => {},
        failure => toast(`It could not be cancelled: ${textOf(failure)}`, 'bad'),
      )
  // Of the node that answers now: the one that served this page may be gone.
  const share = () =>
    navigator.clipboard.writeText(`${client.endpoint}/queries/${handle}`).then(
      () => toast('The address of this query is copied. It opens for you and for admins.'),
      () => toast('The browser does not allow copying here: take the address from its bar.', 'bad'),
    )
  return (
    <>
      {error ? <ErrorNote error={error} retry={retry} /> : null}
      <section class="card run" aria-label="Query" data-handle={handle} data-status={query.status}>
        <div class="run-head">
          <Status value={query.status} />
          {query.name ? <strong>{query.name}</strong> : null}
          <code class="run-handle">{handle}</code>
          <span class="run-actions">
            <Button small onClick={() => void share()}>
              Copy address
            </Button>
            {isBuilt('machines') ? (
              <a class="button small" href={`/machines/${handle}`}>
                Machine
              </a>
            ) : null}
            {query.outcome === null ? (
              <Button kind="danger" small onClick={() => void cancel()}>
                Cancel query
              </Button>
            ) : null}
          </span>
        </div>
        <Steps query={query} />
      </section>
      <Result query={query} />
    </>
  )
}
