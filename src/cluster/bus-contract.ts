/**
 * What nodes tell each other. Hints: a message makes somebody look earlier, is never a proof, and its loss never changes an
 * outcome. Every message is JSON; those of one tick to one peer travel in one frame.
 */
import type { Interest, OwnershipChangeView, ProgressFrame, QueryFrame } from '../domain/index.ts'

export type { Interest, ProgressFrame, QueryFrame }

export type PeerMessage =
  /** First on every connection, and whenever the interests are to be replaced as a whole. */
  | {
      readonly type: 'hello'
      readonly node: string
      readonly incarnation: string
      readonly interests: readonly Interest[]
    }
  | { readonly type: 'interest'; readonly add: readonly Interest[]; readonly remove: readonly Interest[] }
  | { readonly type: 'frames'; readonly frames: readonly QueryFrame[] }
  | { readonly type: 'progress'; readonly frames: readonly ProgressFrame[] }
  /** Look at the rows that you own: some were claimed for you, handed to you, or are to be cancelled. */
  | { readonly type: 'look' }
  /** The named queries are wanted cancelled. */
  | { readonly type: 'cancel'; readonly handles: readonly string[] }
  | { readonly type: 'session-closed'; readonly ids: readonly string[] }
  /** Ownership changed; `handles` with their users, so that each reader is shown its own. */
  | { readonly type: 'ownership'; readonly change: OwnershipChangeView; readonly users: readonly string[] }
  /** Members, leader or budgets changed: read them. */
  | { readonly type: 'cluster-changed' }
  /** You were found dead, or your row is: prove it. */
  | { readonly type: 'suspected'; readonly incarnation: string }
  /** Whether the sender reaches the database: told on every connection, and when it changes. */
  | { readonly type: 'store'; readonly reached: boolean }
  /** The connection will close on purpose. */
  | { readonly type: 'goodbye'; readonly reason: 'draining' | 'stopping' }

export interface PeerBus {
  /** Sends to every connected peer. */
  broadcast(message: PeerMessage): void
  /** Sends to one incarnation; false when it is not connected. */
  send(incarnation: string, message: PeerMessage): boolean
  /** Publishes committed frames to the peers that want them. */
  publish(frames: readonly QueryFrame[]): void
  publishProgress(frame: ProgressFrame): void
  /** Registers interest at all peers, now and after every reconnection; counted, so each call needs its `release`. */
  want(interest: Interest): void
  release(interest: Interest): void
  /** Called for every message of a peer but `hello` and `interest`. Returns the end of the listening. */
  listen(listener: (message: PeerMessage, fromIncarnation: string) => void): () => void
}
