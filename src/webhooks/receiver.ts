/** One request to a receiver, and what its answer means. */
import type { Clock } from '../async/index.ts'
import type { DeliveryOutcome } from '../store/contract.ts'
import { signaturesOf } from './message.ts'

export interface Receiver {
  readonly url: string
  readonly secrets: readonly string[]
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
}

/** What an attempt came to, before anybody decides how long to wait. */
export type Answer =
  | Exclude<DeliveryOutcome, { kind: 'failed' }>
  | { readonly kind: 'failed'; readonly error: string; readonly retryAfterMs: number }

/** A receiver that asks for more than this is asked earlier. */
const retryAfterMsMax = 3_600_000

/** Sends it once. Never rejects; an abort is a failure like any other. */
export async function send(
  receiver: Receiver,
  { id, body }: { readonly id: string; readonly body: string },
  clock: Clock,
  signal: AbortSignal,
): Promise<Answer> {
  const seconds = Math.floor(clock.now() / 1000)
  const late = new AbortController()
  const cancel = clock.after(receiver.timeoutMs, () => late.abort())
  try {
    const answer = await fetch(receiver.url, {
      method: 'POST',
      headers: {
        ...receiver.headers,
        'content-type': 'application/json',
        'user-agent': 'lens-ha',
        'webhook-id': id,
        'webhook-timestamp': String(seconds),
        'webhook-signature': signaturesOf(receiver.secrets, id, seconds, body),
      },
      body,
      // Elsewhere might be anybody: what is signed and told goes where the configuration says, or nowhere.
      redirect: 'manual',
      signal: AbortSignal.any([signal, late.signal]),
    })
    // What it says beyond its status is of no use here, and could be endless.
    await answer.body?.cancel().catch(() => undefined)
    return meaningOf(answer.status, answer.headers.get('retry-after'), clock.now())
  } catch (error) {
    const why = late.signal.aborted ? `no answer within ${receiver.timeoutMs} ms` : reasonOf(error)
    return { kind: 'failed', error: why, retryAfterMs: 0 }
  } finally {
    cancel()
  }
}

function meaningOf(status: number, retryAfter: string | null, nowMs: number): Answer {
  if (status >= 200 && status < 300) return { kind: 'delivered' }
  const error = status >= 300 && status < 400 ? `HTTP ${status}: redirects are not followed` : `HTTP ${status}`
  // Gone: the receiver says that it wants nothing any more.
  if (status === 410) return { kind: 'dead', error }
  return { kind: 'failed', error, retryAfterMs: retryAfterMs(retryAfter, nowMs) }
}

/** Seconds or a date, as HTTP has it; 0 for anything else. */
function retryAfterMs(text: string | null, nowMs: number): number {
  if (text === null) return 0
  const ms = /^\d{1,9}$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - nowMs
  return Number.isFinite(ms) ? Math.min(Math.max(0, ms), retryAfterMsMax) : 0
}

/** `fetch` says "fetch failed", and why one level below. Neither names more than address and port. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { code?: string; message?: string } }
  return cause?.code ?? cause?.message ?? message ?? 'the request failed'
}
