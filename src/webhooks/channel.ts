/**
 * Deliveries to one webhook, for as long as a term lasts: so many at once, each by itself, so that one that is slow or refused keeps no
 * other waiting.
 *
 *     due ──▶ in flight ──▶ answered ──▶ recorded: DELIVERED │ due again later │ DEAD
 *
 * A leader that dies or loses its term between the request and its record leaves a delivery that is due: the next one sends it again, under the
 * same id. That is "at least once"; the row cannot know more than whoever wrote it last.
 */
import { type Backoff, backoffDelayMs, type Clock, type Random } from '../async/index.ts'
import type { Term } from '../cluster/index.ts'
import type { QueryView } from '../domain/index.ts'
import type { Delivery, DeliveryOutcome, WebhookStore } from '../store/contract.ts'
import { messageId, messageOf } from './message.ts'
import { type Answer, type Receiver, send } from './receiver.ts'

export interface ChannelSettings extends Receiver {
  readonly name: string
  readonly sql: boolean
  readonly atOnce: number
  readonly retryMs: number
  readonly giveUpMs: number
}

export interface ChannelLog {
  debug(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface ChannelOptions {
  readonly store: Pick<WebhookStore, 'due' | 'record' | 'drop'>
  /** The queries that are there, as the database has them. */
  readonly views: (handles: readonly string[]) => Promise<readonly QueryView[]>
  readonly clock: Clock
  readonly random: Random
  readonly log: ChannelLog
  readonly databaseNow: () => number
  readonly onAttempt: (webhook: string, outcome: DeliveryOutcome['kind']) => void
  /** How often the database is asked while nobody tells of an end. */
  readonly pollMs: number
}

const retryMsMax = 3_600_000

export class Channel {
  readonly #settings: ChannelSettings
  readonly #options: ChannelOptions
  readonly #backoff: Backoff
  /** By handle. */
  readonly #flights = new Map<string, Promise<void>>()
  /** Recorded since the database was last asked: its answer may still show them as due. */
  readonly #recorded = new Set<string>()
  #woken = new AbortController()

  constructor(settings: ChannelSettings, options: ChannelOptions) {
    this.#settings = settings
    this.#options = options
    this.#backoff = { firstMs: settings.retryMs, limitMs: retryMsMax }
  }

  /** Something may be due. */
  wake(): void {
    this.#woken.abort()
  }

  /** Delivers until the term ends; resolves when nothing is in flight any more. */
  async run(term: Term): Promise<void> {
    const { clock, log, pollMs } = this.#options
    const { signal } = term
    while (!signal.aborted) {
      this.#woken = new AbortController()
      const isMore = await this.#launch(term).catch(error => {
        log.debug({ err: error, webhook: this.#settings.name }, 'what is due to a webhook cannot be read; trying again')
        return false
      })
      if (signal.aborted) break
      if (this.#flights.size >= this.#settings.atOnce) await Promise.race(this.#flights.values())
      else if (!isMore) await clock.sleep(pollMs, AbortSignal.any([signal, this.#woken.signal])).catch(() => undefined)
    }
    await Promise.all(this.#flights.values())
  }

  /** Sends what is due and has room; whether more may be due. */
  async #launch(term: Term): Promise<boolean> {
    const { store, views } = this.#options
    const { name, atOnce } = this.#settings
    this.#recorded.clear()
    const limit = atOnce + this.#flights.size
    const due = await store.due(name, limit)
    const fresh = due.filter(({ handle }) => !this.#flights.has(handle) && !this.#recorded.has(handle))
    const next = fresh.slice(0, atOnce - this.#flights.size)
    if (next.length === 0) return false
    const ended = new Map((await views(next.map(({ handle }) => handle))).map(view => [view.handle, view]))
    await store.drop(next.filter(({ handle }) => !ended.has(handle)))
    for (const delivery of next) {
      const view = ended.get(delivery.handle)
      // Whoever leads by now sends it: twice is allowed, and not wanted.
      if (view && term.valid()) this.#fly(delivery, view, term.signal)
    }
    return due.length === limit
  }

  #fly(delivery: Delivery, view: QueryView, signal: AbortSignal): void {
    const { handle, webhook } = delivery
    const { sessionId: session } = view
    const flight = this.#deliver(delivery, view, signal)
      .catch(error =>
        this.#options.log.debug(
          { err: error, handle, session, webhook },
          'an attempt at a webhook could not be recorded',
        ),
      )
      .then(() => {
        this.#recorded.add(handle)
        this.#flights.delete(handle)
      })
    this.#flights.set(handle, flight)
  }

  async #deliver(delivery: Delivery, view: QueryView, signal: AbortSignal): Promise<void> {
    const { store, clock, onAttempt, log } = this.#options
    const { handle, webhook, attempts: attempt } = delivery
    const { sessionId: session } = view
    const body = messageOf(view, this.#settings.sql, delivery.createdAt)
    const answer = await send(this.#settings, { id: messageId(handle, webhook), body }, clock, signal)
    // Cut short by the end of the term: that is not the receiver's failure, and the next leader tries at once.
    if (answer.kind === 'failed' && signal.aborted) return
    const outcome = this.#outcomeOf(answer, delivery)
    if (!(await store.record(delivery, outcome))) return
    onAttempt(webhook, outcome.kind)
    if (outcome.kind === 'dead')
      log.warn({ webhook, handle, session, attempt, reason: outcome.error }, 'a delivery to a webhook was given up')
    else if (outcome.kind === 'failed')
      log.debug(
        { webhook, handle, session, attempt, reason: outcome.error, forMs: Math.round(outcome.retryMs) },
        'a delivery to a webhook failed; it is repeated',
      )
  }

  #outcomeOf(answer: Answer, { attempts, createdAt }: Delivery): DeliveryOutcome {
    if (answer.kind !== 'failed') return answer
    const { error, retryAfterMs } = answer
    const retryMs = Math.max(retryAfterMs, backoffDelayMs(this.#backoff, attempts, this.#options.random))
    const ageMs = this.#options.databaseNow() - Date.parse(createdAt)
    return ageMs + retryMs > this.#settings.giveUpMs ? { kind: 'dead', error } : { kind: 'failed', error, retryMs }
  }
}
