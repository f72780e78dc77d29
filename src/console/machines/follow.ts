/**
 * The machine of one query as it moves. Steps that arrive together are shown one after another, briefly, so that each is
 * seen; a long backlog is shown at once.
 */
import { useEffect, useRef, useState } from 'preact/hooks'
import { LensClientError, type MachineMoment, type QueryView, type TransitionView } from '../../client/index.ts'
import { useClient } from '../session.ts'

/** How long each of several steps is shown, in milliseconds. */
const stepMs = 160
/** A longer backlog is not worth the wait. */
const backlogMax = 12

export interface FollowedMachine {
  readonly query: QueryView | null
  readonly transitions: readonly TransitionView[]
  readonly error: unknown
  readonly retry: () => void
}

export function useFollowedMachine(handle: string): FollowedMachine {
  const client = useClient()
  const [query, setQuery] = useState<QueryView | null>(null)
  const [transitions, setTransitions] = useState<readonly TransitionView[]>([])
  const [error, setError] = useState<unknown>(null)
  const [attempt, setAttempt] = useState(0)
  useEffect(() => {
    const leaving = new AbortController()
    const { signal } = leaving
    setQuery(null)
    setTransitions([])
    setError(null)
    const pending: QueryView[] = []
    let timer: ReturnType<typeof setTimeout> | null = null
    const show = () => {
      timer = null
      const next = pending.length > backlogMax ? pending.splice(0).at(-1) : pending.shift()
      if (!next || signal.aborted) return
      setQuery(next)
      timer = setTimeout(show, stepMs)
    }
    const give = (next: QueryView) => {
      pending.push(next)
      if (timer === null) show()
    }
    const follow = async () => {
      const followed = client.handle(handle)
      let seen = 0
      for await (const next of followed.changes({ after: 'now', signal })) {
        seen = next.version
        give(next)
      }
      // Of a finished query the feed tells nothing more, such as that its rows were dropped.
      const last = await followed.status({ signal })
      if (!signal.aborted && last.version > seen) give(last)
    }
    follow().catch(failure => signal.aborted || setError(failure))
    return () => {
      leaving.abort(new LensClientError({ code: 'CLIENT_CLOSED', detail: 'left' }))
      if (timer !== null) clearTimeout(timer)
    }
  }, [client, handle, attempt])

  // A frame does not name the event that led to it: the transitions do.
  const version = query?.handle === handle ? query.version : 0
  useEffect(() => {
    if (version === 0) return
    let left = false
    client
      .handle(handle)
      .transitions()
      .then(
        found => left || setTransitions([...found].sort((a, b) => a.version - b.version)),
        // The chart moves without them; the next frame asks again.
        () => {},
      )
    return () => {
      left = true
    }
  }, [client, handle, version])

  return { query: query?.handle === handle ? query : null, transitions, error, retry: () => setAttempt(attempt + 1) }
}

export interface Moments {
  /** At the version asked for; null until it is known, and where it is not kept. */
  readonly now: MachineMoment | null
  /** At the version before it. */
  readonly before: MachineMoment | null
  readonly error: unknown
}

type Ask = (version: number) => Promise<MachineMoment>

/** A machine at a version and just before; what was asked once is kept while the page is open. `ask` stays the same while `id` does. */
export function useMoments(ask: Ask, id: string, version: number, hasPast: boolean): Moments {
  const known = useRef(new Map<string, Promise<MachineMoment>>())
  const [moments, setMoments] = useState<Moments & { readonly of: string }>({
    now: null,
    before: null,
    error: null,
    of: '',
  })
  const of = `${id}:${version}`
  useEffect(() => {
    if (version === 0) return
    let left = false
    const at = (wanted: number) => momentAt(known.current, ask, id, wanted)
    at(version).then(
      now => left || setMoments({ now, before: null, error: null, of }),
      error => left || setMoments({ now: null, before: null, error, of }),
    )
    if (hasPast && version > 1)
      Promise.all([at(version), at(version - 1)]).then(
        ([now, before]) => left || setMoments({ now, before, error: null, of }),
        () => {},
      )
    return () => {
      left = true
    }
  }, [ask, id, version, hasPast])
  return moments.of === of ? moments : { now: null, before: null, error: null }
}

function momentAt(known: Map<string, Promise<MachineMoment>>, ask: Ask, id: string, version: number) {
  const key = `${id}:${version}`
  const found = known.get(key)
  if (found) return found
  const asked = ask(version)
  known.set(key, asked)
  asked.catch(() => known.delete(key))
  return asked
}
