/** What the leader does for webhooks: delivers what is due, and counts what waits. */
import type { LeaderDuty, Term } from '../cluster/index.ts'
import type { Backlog, WebhookStore } from '../store/contract.ts'
import { Channel, type ChannelOptions, type ChannelSettings } from './channel.ts'

export interface WebhookDutyOptions extends Omit<ChannelOptions, 'store'> {
  readonly store: WebhookStore
  readonly webhooks: readonly ChannelSettings[]
  /** Now and then while this node leads, and with nothing when it does no more. */
  readonly onBacklog: (backlog: readonly Backlog[]) => void
}

const backlogMs = 15_000

export class WebhookDuty implements LeaderDuty {
  readonly #options: WebhookDutyOptions
  #channels: readonly Channel[] = []
  #done: Promise<void> = Promise.resolve()

  constructor(options: WebhookDutyOptions) {
    this.#options = options
  }

  start(term: Term): void {
    const { webhooks } = this.#options
    if (webhooks.length === 0) return
    this.#channels = webhooks.map(settings => new Channel(settings, this.#options))
    this.#done = Promise.all([...this.#channels.map(channel => channel.run(term)), this.#watch(term)]).then(
      () => undefined,
    )
  }

  stop(): Promise<void> {
    return this.#done
  }

  /** Queries have ended; what that owes is due at once, if this node leads. */
  wake(): void {
    for (const channel of this.#channels) channel.wake()
  }

  async #watch(term: Term): Promise<void> {
    const { store, clock, log, onBacklog } = this.#options
    while (!term.signal.aborted) {
      await store
        .backlog()
        .then(onBacklog, error => log.debug({ err: error }, 'the backlog of webhooks cannot be read'))
      await clock.sleep(backlogMs, term.signal).catch(() => undefined)
    }
    onBacklog([])
  }
}
