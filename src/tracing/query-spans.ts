/**
 * The spans of a query, made of its committed steps when they end: nothing of a trace is held by an actor, and nothing is told that
 * is not durable. What a dead owner had begun is not told; its successor's spans have the same parents.
 *
 *     request ─▶ query ─▶ queue
 *                     ├─▶ attempt 1 ─▶ engine
 *                     └─▶ attempt 2 ─▶ engine
 *                                  └─▶ store rows
 */
import { type Attributes, SpanKind } from '@opentelemetry/api'
import { parseTraceParent, type QueryEvent, type StoredSnapshot, spanIdOf } from '../domain/index.ts'

export interface TracedStep {
  readonly event: QueryEvent
  readonly epoch: number
  readonly specification: {
    readonly handle: string
    readonly user: string
    readonly submittedAt: string
    readonly traceparent?: string | null
  }
  readonly snapshot: StoredSnapshot
}

/** A span that has ended. */
export interface EndedSpan {
  readonly name: string
  readonly kind: SpanKind
  readonly traceId: string
  readonly parentId: string
  /** Any, unless given. */
  readonly spanId?: string
  /** ISO 8601. */
  readonly startedAt: string
  readonly endedAt: string
  readonly attributes: Attributes
  /** A code of the catalogue. */
  readonly error?: string | null
}

/** What this node saw of the attempt that goes on. */
interface Begun {
  readonly attempt: number
  executedAt: string | null
}

/** Of attempts that ended elsewhere nobody is told here: the oldest are forgotten. */
const begunMax = 50_000

export class QuerySpans {
  readonly #node: string
  readonly #begun = new Map<string, Begun>()

  constructor(node: string) {
    this.#node = node
  }

  /** The spans that end with this step. */
  of({ event, epoch, specification, snapshot }: TracedStep): EndedSpan[] {
    const parent = parseTraceParent(specification.traceparent)
    if (!parent?.sampled) return []
    const { handle, user, submittedAt } = specification
    const { context, value } = snapshot
    const { attempt, launchedAt, startedAt, failedAttempts } = context
    const queryId = spanIdOf(handle, 'query')
    const attributes: Attributes = {
      'lens.query.handle': handle,
      'lens.node': this.#node,
      'lens.epoch': epoch,
      ...(context.engine === null ? {} : { 'lens.engine': context.engine }),
    }
    const base = { kind: SpanKind.INTERNAL, traceId: parent.traceId, attributes }
    const spans: EndedSpan[] = []
    const endAttempt = (endedAt: string, error: string | null = null) => {
      const begun = this.#begun.get(handle)
      this.#begun.delete(handle)
      if (launchedAt === null) return
      const spanId = spanIdOf(handle, 'attempt', attempt)
      const own = { ...base, attributes: { ...attributes, 'lens.attempt': attempt }, error }
      const executedAt = (begun?.attempt === attempt ? begun.executedAt : null) ?? endedAt
      spans.push({ ...own, name: 'attempt', parentId: queryId, spanId, startedAt: launchedAt, endedAt })
      spans.push({
        ...{ ...own, name: 'engine', kind: SpanKind.CLIENT, parentId: spanId },
        ...{ spanId: spanIdOf(handle, 'engine', attempt), startedAt: startedAt ?? launchedAt, endedAt: executedAt },
      })
      if (error === null && executedAt !== endedAt)
        spans.push({ ...own, name: 'store rows', parentId: spanId, startedAt: executedAt, endedAt })
    }
    switch (event.type) {
      case 'LAUNCHED':
        spans.push({
          ...{ ...base, name: 'queue', parentId: queryId, attributes: { ...attributes, 'lens.lane': context.lane } },
          ...{ startedAt: failedAttempts.at(-1)?.at ?? submittedAt, endedAt: event.at },
        })
        break
      case 'EXECUTED':
        this.#remember(handle, { attempt, executedAt: event.at })
        break
      case 'STORED':
        endAttempt(event.at)
        break
      case 'ATTEMPT_FAILED':
        endAttempt(event.at, event.code)
        break
      case 'STOPPED':
        endAttempt(event.at, context.error?.code ?? 'CANCELED')
        break
    }
    if (context.finishedAt !== null && event.type !== 'RESULT_DROPPED')
      spans.push({
        ...{ ...base, name: 'query', parentId: parent.spanId, spanId: queryId, error: context.error?.code ?? null },
        ...{ startedAt: submittedAt, endedAt: context.finishedAt },
        attributes: {
          ...attributes,
          'user.name': user,
          'lens.query.outcome': String(value),
          'lens.query.attempts': attempt,
          ...(context.result === null ? {} : { 'db.response.returned_rows': context.result.rowCount }),
        },
      })
    return spans
  }

  #remember(handle: string, begun: Begun): void {
    this.#begun.set(handle, begun)
    const [oldest] = this.#begun.keys()
    if (oldest !== undefined && this.#begun.size > begunMax) this.#begun.delete(oldest)
  }
}
