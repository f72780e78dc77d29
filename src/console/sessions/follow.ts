/** The sessions that the reader may see, newest first, read again whenever the cluster tells that their number changed. */
import { useEffect, useState } from 'preact/hooks'
import type { LensClient, SessionView } from '../../client/index.ts'
import { useLoad } from '../ui/index.ts'

const pageLimit = 50
/** Expiry moves with use, of which nobody tells; in milliseconds. */
const readMs = 15_000
const againMs = 2_000

export interface SessionPages {
  readonly sessions: readonly SessionView[]
  readonly hasMore: boolean
}

export async function readPages(client: LensClient, pages: number): Promise<SessionPages> {
  const sessions: SessionView[] = []
  let cursor: string | undefined
  for (let read = 0; read < pages; read++) {
    const page = await client.sessions({ limit: pageLimit, cursor })
    sessions.push(...page.sessions)
    if (page.nextCursor === null) return { sessions, hasMore: false }
    cursor = page.nextCursor
  }
  return { sessions, hasMore: true }
}

export function useSessions(client: LensClient) {
  const [pages, setPages] = useState(1)
  const loaded = useLoad(() => readPages(client, pages), [client, pages])
  const { reload } = loaded
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) reload()
    }, readMs)
    const leave = followCounts(client, reload)
    return () => {
      clearInterval(timer)
      leave()
    }
  }, [client, reload])
  return { ...loaded, more: () => setPages(pages + 1) }
}

/** Calls `changed` when there are more or fewer sessions than before. Returns how to stop. */
function followCounts(client: LensClient, changed: () => void): () => void {
  let stopped = false
  let leave = () => {}
  const follow = async () => {
    let last: string | null = null
    while (!stopped) {
      const frames = client.subscribeMachines()
      leave = () => void frames.return?.()
      try {
        for await (const { sessions } of frames) {
          const text = JSON.stringify(sessions)
          if (last !== null && text !== last) changed()
          last = text
        }
      } catch {
        // The list is read again by the clock; the counts only make it sooner.
      }
      if (!stopped) await new Promise(resolve => setTimeout(resolve, againMs))
    }
  }
  void follow()
  return () => {
    stopped = true
    leave()
  }
}
