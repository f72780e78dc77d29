/**
 * How far the running queries are. Lists of queries do not tell, whichever node gives them: progress is pushed, from the node that runs
 * a query to whoever follows it. So the oldest of those that run are followed, as many as a screen has use for.
 */
import type { LensClient, Progress, QueryView } from '../../client/index.ts'

/** A third of what one connection may follow by default. */
const followedMax = 32

interface Followed {
  progress: Progress | null
  readonly stop: () => void
}

export class ProgressFeed {
  readonly #client: LensClient
  readonly #changed: () => void
  readonly #followed = new Map<string, Followed>()

  constructor(client: LensClient, changed: () => void) {
    this.#client = client
    this.#changed = changed
  }

  /** Follows the running ones among these, and no others. `queries` come newest first. */
  keep(queries: readonly QueryView[]): void {
    const running = queries.filter(({ status }) => status === 'RUNNING').slice(-followedMax)
    const wanted = new Set(running.map(({ handle }) => handle))
    for (const [handle, { stop }] of this.#followed) if (!wanted.has(handle)) stop()
    for (const handle of wanted) if (!this.#followed.has(handle)) this.#follow(handle)
  }

  /** What is known of this one; that of another attempt is forgotten with its status. */
  of(handle: string): Progress | null {
    return this.#followed.get(handle)?.progress ?? null
  }

  stop(): void {
    for (const { stop } of this.#followed.values()) stop()
  }

  #follow(handle: string): void {
    const onProgress = (progress: Progress) => {
      followed.progress = progress
      this.#changed()
    }
    const changes = this.#client.handle(handle).changes({ after: 'now', onProgress })
    const followed: Followed = {
      progress: null,
      stop: () => {
        this.#followed.delete(handle)
        void changes.return?.()
      },
    }
    this.#followed.set(handle, followed)
    const run = async () => {
      for await (const { status, progress } of changes) followed.progress = status === 'RUNNING' ? progress : null
    }
    // Whatever ended it: what still runs at the next look is followed anew.
    run()
      .catch(() => {})
      .finally(() => {
        if (this.#followed.get(handle) === followed) this.#followed.delete(handle)
      })
  }
}
