/** A query as it changes, from whichever node tells; the page does not notice when that is another one than before. */
import { useEffect, useState } from 'preact/hooks'
import { LensClientError, type QueryView, type TransitionView } from '../../client/index.ts'
import { useClient } from '../session.ts'
import { useLoad } from '../ui/index.ts'

export interface Followed {
  readonly query: QueryView | null
  /** Set when it cannot be followed: NOT_FOUND also for what belongs to somebody else. */
  readonly error: unknown
  readonly retry: () => void
}

export function useFollowed(handle: string): Followed {
  const client = useClient()
  const [query, setQuery] = useState<QueryView | null>(null)
  const [error, setError] = useState<unknown>(null)
  const [attempt, setAttempt] = useState(0)
  useEffect(() => {
    const leaving = new AbortController()
    const { signal } = leaving
    const followed = client.handle(handle)
    setQuery(null)
    setError(null)
    const follow = async () => {
      const onProgress = (progress: QueryView['progress']) => setQuery(now => now && { ...now, progress })
      for await (const next of followed.changes({ after: 'now', onProgress, signal })) setQuery(next)
      // What happens to a finished query, such as that its rows are dropped, is told by its status.
      if (!signal.aborted) setQuery(await followed.status({ signal }))
    }
    follow().catch(failure => signal.aborted || setError(failure))
    return () => leaving.abort(new LensClientError({ code: 'CLIENT_CLOSED', detail: 'left' }))
  }, [client, handle, attempt])

  // The place in the queue is no part of a version: nobody tells that it has changed.
  const isQueued = query?.status === 'QUEUED' && query.handle === handle
  useEffect(() => {
    if (!isQueued) return
    const timer = setInterval(() => {
      client
        .handle(handle)
        .status()
        .then(({ version, queuePosition }) => {
          setQuery(now => (now && now.version === version ? { ...now, queuePosition } : now))
        })
        .catch(() => {})
    }, 1_000)
    return () => clearInterval(timer)
  }, [client, handle, isQueued])

  return { query: query?.handle === handle ? query : null, error, retry: () => setAttempt(attempt + 1) }
}

export interface OwnerChange {
  /** True where its owner left and gave it away; false where its owner died. */
  readonly isHandOver: boolean
  readonly from: string
  readonly to: string
  readonly at: string
  readonly version: number
}

/** Who had the query before whom; asked for only once there was a change. */
export function useOwnerChanges(query: QueryView): readonly OwnerChange[] {
  const client = useClient()
  const { handle } = query
  const { epoch } = query.owner
  const { data } = useLoad<readonly OwnerChange[]>(
    async () => (epoch > 1 ? ownerChangesOf(await client.handle(handle).transitions()) : []),
    [client, handle, epoch],
  )
  return data ?? []
}

export function ownerChangesOf(transitions: readonly TransitionView[]): OwnerChange[] {
  return transitions.flatMap((transition, index) => {
    const before = transitions[index - 1]
    if (!before || before.epoch === transition.epoch) return []
    const { event, node, at, version } = transition
    return [
      {
        isHandOver: event === 'HANDED_OVER',
        from: before.node,
        to: node,
        at,
        version,
      },
    ]
  })
}
