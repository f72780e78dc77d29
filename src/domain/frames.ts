/** What travels when a query moves: between the actors, the subscribers of this node and the other nodes. */
import type { Progress, QueryView } from './views.ts'

/** One committed step of a query, as its subscribers see it. */
export interface QueryFrame {
  readonly handle: string
  readonly sessionId: string
  readonly user: string
  readonly version: number
  readonly epoch: number
  readonly query: QueryView
}

/** Outside the version: may be merged or dropped. */
export interface ProgressFrame {
  readonly handle: string
  readonly sessionId: string
  readonly progress: Progress
}

/** Whose frames somebody wants. */
export interface Interest {
  readonly kind: 'query' | 'session'
  readonly id: string
}
