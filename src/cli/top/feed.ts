/**
 * The facts of `lens top`. Changes of the cluster are pushed; leases, loads and the unfinished queries are asked for, once a second and
 * whenever the cluster or the counts of states have moved. The client under it goes to another node by itself; what does not
 * answer meanwhile is only older.
 */
import type { CancelTimer, Clock } from '../../async/index.ts'
import { type ClusterFrameBody, type LensClient, LensClientError, type MachineCounts } from '../../client/index.ts'
import { type Facts, unfinished } from './model.ts'
import { ProgressFeed } from './progress.ts'

const periodMs = 1_000
/** Pushes come in crowds: the queries are asked for no sooner than this after the last time. */
const restMs = 250
/** As many queries are asked for; more than a screen holds. */
const queriesMax = 200
const changesMax = 20

export class TopFeed {
  readonly #client: LensClient
  readonly #clock: Clock
  readonly #changed: () => void
  readonly #progress: ProgressFeed
  readonly #pushes = new Set<{ return?(): Promise<unknown> }>()
  readonly #ending = new AbortController()
  #facts: Facts
  /** The database's clock when the command began. */
  #since: string | null = null
  #asking = false
  #again = false
  #cancelPeriod: CancelTimer | undefined
  readonly #failed: (error: unknown) => void

  /** `failed` is told what will not mend by itself: a session that is gone, a right that is missing. */
  constructor(
    client: LensClient,
    who: { readonly user: string; readonly admin: boolean },
    clock: Clock,
    changed: () => void,
    failed: (error: unknown) => void,
  ) {
    this.#client = client
    this.#clock = clock
    this.#changed = changed
    this.#progress = new ProgressFeed(client, changed)
    this.#failed = failed
    this.#facts = {
      ...who,
      ...{ endpoint: client.endpoint, cluster: null, clusterAtMs: 0, handOvers: [], failovers: [] },
      ...{ queries: [], more: false, queriesAtMs: null },
    }
  }

  get facts(): Facts {
    const queries = this.#facts.queries.map(query => ({
      ...query,
      progress: this.#progress.of(query.handle) ?? query.progress,
    }))
    return { ...this.#facts, queries }
  }

  start(): void {
    void this.#follow(
      () => this.#client.subscribeCluster(),
      cluster => {
        this.#takeCluster(cluster)
        void this.ask()
        this.#askForFailovers().catch(error => this.#missed(error))
      },
    )
    void this.#follow(
      () => this.#client.subscribeMachines(),
      (_counts: MachineCounts) => void this.ask(),
    )
    this.#cancelPeriod = this.#clock.every(periodMs, () => void this.ask())
    void this.ask()
  }

  stop(): void {
    this.#cancelPeriod?.()
    this.#ending.abort()
    this.#progress.stop()
    for (const push of this.#pushes) void push.return?.()
  }

  /** Asks for the queries; what asks meanwhile shares the next asking. */
  async ask(): Promise<void> {
    if (this.#asking) {
      this.#again = true
      return
    }
    this.#asking = true
    try {
      do {
        this.#again = false
        await this.#askOnce()
        if (this.#again) await this.#clock.sleep(restMs, this.#ending.signal)
      } while (this.#again)
    } catch (error) {
      this.#missed(error)
    } finally {
      this.#asking = false
    }
  }

  async #askOnce(): Promise<void> {
    const user = this.#facts.admin ? '*' : undefined
    const [{ queries, nextCursor }] = await Promise.all([
      this.#client.queries({ status: unfinished, user, limit: queriesMax }),
      this.#client.cluster().then(cluster => this.#takeCluster(cluster)),
    ])
    if (this.#ending.signal.aborted) return
    this.#progress.keep(queries)
    const queriesAtMs = this.#clock.monotonic()
    this.#facts = { ...this.#facts, queries, more: nextCursor !== null, queriesAtMs, endpoint: this.#client.endpoint }
    this.#changed()
  }

  #takeCluster(cluster: ClusterFrameBody): void {
    this.#since ??= cluster.now
    const pushed = (cluster.changes ?? []).filter(({ kind }) => kind === 'hand-over')
    const handOvers = [...[...pushed].reverse(), ...this.#facts.handOvers].slice(0, changesMax)
    this.#facts = { ...this.#facts, cluster, clusterAtMs: this.#clock.monotonic(), handOvers }
    this.#changed()
  }

  /** A takeover is durable, and tells more than the push that may have been lost with the node that was spoken to. */
  async #askForFailovers(): Promise<void> {
    const since = this.#since ?? ''
    const failovers = (await this.#client.failovers()).filter(({ detectedAt }) => detectedAt >= since)
    if (this.#ending.signal.aborted) return
    this.#facts = { ...this.#facts, failovers: failovers.slice(0, changesMax) }
    this.#changed()
  }

  async #follow<T>(subscribe: () => AsyncIterableIterator<T>, take: (push: T) => void): Promise<void> {
    const { signal } = this.#ending
    while (!signal.aborted) {
      const pushes = subscribe()
      this.#pushes.add(pushes)
      try {
        for await (const push of pushes) take(push)
      } catch (error) {
        this.#missed(error)
      } finally {
        this.#pushes.delete(pushes)
      }
      await this.#clock.sleep(periodMs, signal).catch(() => {})
    }
  }

  /** That nobody answers, for however long, ends nothing: what is shown only gets older, and says so. */
  #missed(error: unknown): void {
    if (this.#ending.signal.aborted || (error instanceof LensClientError && error.retryable)) return
    this.#failed(error)
  }
}
