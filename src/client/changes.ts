/**
 * Every version of a query exactly once and in order, whichever nodes tell. Frames that come again after a reconnection
 * are dropped by their version; where no WebSocket can be had, long polls take their place, and the versions that a poll
 * jumps over are read from the query's transitions.
 */
import type { Progress, QueryView, StreamFrame, StreamTopic, TransitionView } from '../api/v1/wire.ts'
import { LensClientError } from './errors.ts'
import { PushQueue } from './queue.ts'
import type { Stream } from './stream.ts'

export interface ChangesOptions {
  /** The last version known: changes above it are given. Default 0: all from the first. `'now'`: the current one first. */
  readonly after?: number | 'now'
  /** Progress between the versions; some may be left out. */
  readonly onProgress?: (progress: Progress) => void
  readonly signal?: AbortSignal
}

/** What a feed asks of the server when it cannot listen. */
export interface QuerySource {
  poll(after: number, signal: AbortSignal): Promise<QueryView>
  transitions(signal: AbortSignal): Promise<readonly TransitionView[]>
  /** A pause after polls that came to nothing. */
  pause(attempt: number, signal: AbortSignal): Promise<void>
}

export function changesOf(
  handle: string,
  stream: Stream,
  source: QuerySource,
  options: ChangesOptions = {},
): AsyncIterableIterator<QueryView> {
  return new QueryFeed(handle, stream, source, options).queue
}

class QueryFeed {
  readonly queue: PushQueue<QueryView>
  readonly #handle: string
  readonly #source: QuerySource
  readonly #onProgress: ((progress: Progress) => void) | undefined
  readonly #unsubscribe: () => void
  /** The last version that was given; null before the first of `'now'`. */
  #version: number | null
  #polling: AbortController | null = null
  #left = false

  constructor(handle: string, stream: Stream, source: QuerySource, options: ChangesOptions) {
    this.#handle = handle
    this.#source = source
    this.#onProgress = options.onProgress
    this.#version = options.after === 'now' ? null : (options.after ?? 0)
    const abort = () => this.queue.fail(options.signal?.reason)
    this.queue = new PushQueue(() => {
      this.#left = true
      this.#polling?.abort()
      options.signal?.removeEventListener('abort', abort)
      this.#unsubscribe?.()
    })
    this.#unsubscribe = stream.subscribe({
      topic: () => this.#topic(),
      frame: frame => this.#frame(frame),
      failed: error => this.queue.fail(error),
      unavailable: () => this.#startPolling(true),
      available: () => this.#polling?.abort(),
    })
    if (options.signal?.aborted) abort()
    else options.signal?.addEventListener('abort', abort, { once: true })
    if (this.#left) this.#unsubscribe()
  }

  #topic(): StreamTopic {
    const named = { topic: 'query' as const, handle: this.#handle }
    return this.#version === null ? named : { ...named, after: this.#version }
  }

  #frame(frame: StreamFrame): void {
    if (frame.type === 'progress') this.#onProgress?.(frame.progress)
    else if (frame.type === 'query') {
      // A gap cannot come from a sound server; should one come, the transitions close it.
      if (this.#version !== null && frame.query.version > this.#version + 1) this.#startPolling(false)
      else this.#give(frame.query)
    }
  }

  #give(query: QueryView): void {
    if (this.#left || (this.#version !== null && query.version <= this.#version)) return
    this.#version = query.version
    this.queue.push(query)
    if (query.outcome !== null) this.queue.end()
  }

  #startPolling(forAsLongAsNeeded: boolean): void {
    if (this.#polling || this.#left) return
    const polling = new AbortController()
    this.#polling = polling
    void this.#poll(polling.signal, forAsLongAsNeeded)
      .catch(error => {
        if (!polling.signal.aborted) this.queue.fail(error)
      })
      .finally(() => {
        if (this.#polling === polling) this.#polling = null
      })
  }

  async #poll(signal: AbortSignal, forAsLongAsNeeded: boolean): Promise<void> {
    let fruitless = 0
    do {
      const before = this.#version
      const query = await this.#source.poll(before ?? 0, signal)
      if (signal.aborted) return
      this.#onProgress?.(query.progress)
      if (this.#version !== null && query.version > this.#version + 1) await this.#fill(query, signal)
      else this.#give(query)
      if (this.#version !== before) fruitless = 0
      else if (forAsLongAsNeeded && !this.#left) await this.#source.pause(fruitless++, signal)
    } while (forAsLongAsNeeded && !this.#left && !signal.aborted)
  }

  /** Gives the versions between the last one and `query`, then `query`. */
  async #fill(query: QueryView, signal: AbortSignal): Promise<void> {
    const transitions = await this.#source.transitions(signal)
    for (const transition of [...transitions].sort((a, b) => a.version - b.version)) {
      if (transition.version < query.version) this.#give(asOf(query, transition))
    }
    if (this.#version !== null && query.version > this.#version + 1 && !signal.aborted) {
      throw new LensClientError({
        code: 'NOT_LENS',
        detail: `versions ${this.#version + 1} to ${query.version - 1} are missing from the transitions`,
        handle: query.handle,
      })
    }
    this.#give(query)
  }
}

/** A query as it was at one of its transitions: what had not happened yet is left out. */
function asOf(query: QueryView, transition: TransitionView): QueryView {
  return {
    ...query,
    status: transition.to,
    version: transition.version,
    owner: { node: transition.node, epoch: transition.epoch },
    outcome: null,
    error: null,
    result: null,
    finishedAt: null,
    failedAttempts: query.failedAttempts.filter(attempt => attempt.at <= transition.at),
  }
}
