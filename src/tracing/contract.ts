/** What the rest of a node tells of itself to whoever traces it. */
import type { Clock } from '../async/index.ts'
import type { TracedStep } from './query-spans.ts'

export interface RequestSpan {
  /** For what the request causes. */
  readonly traceparent: string
  /** `route` as the API has it, never the address that was sent. */
  end(route: string, status: number): void
}

export interface Tracing {
  /** A request begins; `traceparent` is what its client sent, malformed or not. */
  request(method: string, traceparent: string | undefined): RequestSpan
  /** Steps of queries are durable. */
  steps(steps: readonly TracedStep[]): void
  /** This node, as leader, has given away the queries of a dead member. */
  takeover(cause: string, queries: number, seconds: number): void
  /** Tries to send what is left, for two seconds. Safe twice. */
  close(): Promise<void>
}

export interface TracingOptions {
  readonly node: string
  readonly version: string
  readonly clock: Clock
}
