/**
 * Queries that run on one node and are watched from another, and how long after a fault each of them goes on elsewhere. It counts
 * when the subscriber has the version in which a survivor has it QUEUED for its next attempt (or further): by then it is owned,
 * rehydrated, and the engine was asked what became of it.
 */
import { eventually, type NodeProcess } from '../support/nodes.ts'
import { StreamWatch } from './stream-watch.ts'

/** What one trial runs, and the subscriber that watches it. */
export class Watched {
  readonly handles: readonly string[]
  readonly token: string
  readonly watch: StreamWatch
  readonly #sessionId: string

  private constructor(handles: readonly string[], session: { id: string; token: string }, watch: StreamWatch) {
    this.handles = handles
    this.token = session.token
    this.watch = watch
    this.#sessionId = session.id
  }

  /** `count` queries that run on `victim`, seen from `survivor`. */
  static async start(victim: NodeProcess, survivor: NodeProcess, count: number, sql: string): Promise<Watched> {
    const session = await survivor.session('watched')
    const watch = await new StreamWatch(survivor.url, session.token).subscribe({ topic: 'session' })
    const handles: string[] = []
    while (handles.length < count) {
      const { handle } = await victim.submit(session.token, { sql, lane: 'light' })
      handles.push(handle)
    }
    for (const handle of handles)
      await watch.arrival(handle, ({ node, status }) => node === victim.name && status === 'RUNNING')
    return new Watched(handles, session, watch)
  }

  /** For each query, from `from` to when a survivor had it ready to run again. */
  async movedAfter(from: number, victim: NodeProcess): Promise<number[]> {
    const times: number[] = []
    for (const handle of this.handles) {
      const seen = await this.watch.arrival(
        handle,
        ({ node, status }) => node !== victim.name && ['QUEUED', 'LAUNCHED'].includes(status),
      )
      times.push(seen.at - from)
    }
    return times
  }

  /** Cancels what still runs and forgets the session. */
  async end(survivor: NodeProcess): Promise<void> {
    this.watch.close()
    await survivor.call('DELETE', `/api/v1/sessions/${this.#sessionId}?cancelQueries=true`, { token: this.token })
    const { token } = await survivor.session('watched')
    await eventually('its queries are cancelled', async () => {
      const { body } = await survivor.call('GET', '/api/v1/queries?limit=1&status=QUEUED,LAUNCHED,RUNNING', { token })
      return body.queries.length === 0
    })
  }
}

export async function incarnationOf(node: NodeProcess): Promise<string | null> {
  try {
    const answer = await fetch(`${node.url}/cluster/v1/identity`, { signal: AbortSignal.timeout(500) })
    const { incarnation } = (await answer.json()) as { incarnation: string }
    return incarnation
  } catch {
    return null
  }
}
