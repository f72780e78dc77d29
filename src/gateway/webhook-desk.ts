/** What admins see of webhooks, and the one thing they can do: have a delivery tried again. */
import { type DeliveryPage, type DeliveryView, LensError, type WebhookView } from '../domain/index.ts'
import type { Delivery, WebhookInterest, WebhookStore } from '../store/index.ts'
import type { ListDeliveriesRequest, Principal, WebhookGateway } from './contract.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'

/** A webhook as the configuration has it. */
export interface KnownWebhook extends WebhookInterest {
  readonly url: string
}

export class WebhookDesk implements WebhookGateway {
  readonly #store: WebhookStore
  readonly #webhooks: readonly KnownWebhook[]
  /** A delivery is due. */
  readonly #wake: () => void

  constructor(store: WebhookStore, webhooks: readonly KnownWebhook[], wake: () => void) {
    this.#store = store
    this.#webhooks = webhooks
    this.#wake = wake
  }

  async list(principal: Principal): Promise<readonly WebhookView[]> {
    forAdmins(principal)
    const backlog = new Map((await this.#store.backlog()).map(one => [one.webhook, one]))
    // What is owed under a name that this node's configuration has not: somebody waits for the node that knows it.
    const unknown = [...backlog.keys()].filter(name => !this.#webhooks.some(known => known.name === name)).sort()
    const known: readonly (Omit<KnownWebhook, 'url'> & { readonly url: string | null })[] = [
      ...this.#webhooks,
      ...unknown.map(name => ({ name, url: null, outcomes: [], users: null })),
    ]
    return known.map(({ name, url, outcomes, users }) => {
      const { pending = 0, dead = 0, oldestPendingAt = null } = backlog.get(name) ?? {}
      return { name, url: url === null ? null : shownUrl(url), outcomes, users, pending, dead, oldestPendingAt }
    })
  }

  async deliveries(principal: Principal, { limit, cursor, ...filter }: ListDeliveriesRequest): Promise<DeliveryPage> {
    forAdmins(principal)
    const found = await this.#store.list(filter, limit + 1, decodeCursor(cursor, 'handle', 'webhook'))
    const page = found.slice(0, limit)
    const last = page.at(-1)
    const nextCursor =
      found.length > limit && last ? encodeCursor({ handle: last.handle, webhook: last.webhook }) : null
    return { deliveries: page.map(viewOf), nextCursor }
  }

  async again(principal: Principal, webhook: string, handle: string): Promise<DeliveryView> {
    forAdmins(principal)
    const delivery = await this.#store.again({ handle, webhook })
    if (!delivery) throw new LensError('NOT_FOUND', 'Nothing is owed to this webhook for this query.')
    this.#wake()
    return viewOf(delivery)
  }
}

function forAdmins({ admin }: Principal): void {
  if (!admin) throw new LensError('FORBIDDEN', 'Only admins may see webhooks and what is owed to them.')
}

/** Many services take what stands behind the host as the right to send. */
function shownUrl(url: string): string {
  return URL.parse(url)?.origin ?? ''
}

function viewOf({ handle, webhook, state, attempts, createdAt, dueAt, lastError }: Delivery): DeliveryView {
  return { handle, webhook, state, attempts, createdAt, dueAt: state === 'PENDING' ? dueAt : null, lastError }
}
