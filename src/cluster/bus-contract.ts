/**
 * What nodes tell each other. Hints: a message makes somebody look earlier, is never a proof, and its loss never changes an
 * outcome. Every message is JSON; those of one tick to one peer travel in one frame.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock, Random, Service } from '../async/index.ts'
import type {
  Interest,
  LogLevelChange,
  LogLevelView,
  OwnershipChangeView,
  ProgressFrame,
  QueryFrame,
} from '../domain/index.ts'

import type { ClusterLog, CountUp } from './ports.ts'

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
  /** Look at the rows that you own: some were claimed for you, handed to you (those of `handles`), or are to be cancelled. */
  | { readonly type: 'look'; readonly handles?: readonly string[] }
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
  /** An admin asks what you log, or wants it changed; `id` is for the answer. */
  | { readonly type: 'log-level'; readonly id: string; readonly change: LogLevelChange | null }
  | { readonly type: 'log-level-is'; readonly id: string; readonly is: LogLevelView }
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

/** Where a member listens. */
export interface PeerAddress {
  readonly incarnation: string
  readonly node: string
  readonly address: string
}

/** What a bus is given of its node. */
export interface PeerBusOptions {
  /** Who this node is now; changes with every incarnation. */
  readonly self: () => { readonly node: string; readonly incarnation: string }
  readonly clock: Clock
  readonly random: Random
  readonly log: ClusterLog
  readonly count: CountUp
  /** Between pings of a peer. */
  readonly pingMs: number
  readonly peerConnectMs: number
}

/** The bus as the cluster runs it: over WebSocket in a node, over a network of its own in a simulation. */
export interface ConnectedBus extends PeerBus, Service {
  /** The other living members: new ones are dialed, connections to all others end. */
  connectTo(peers: readonly PeerAddress[]): void
  /** Ends all connections; those to members are dialed again after the next `connectTo`. */
  disconnect(): void
  /** Incarnations that this node can speak to now. */
  connected(): readonly string[]
  /** Monotonic time of the last sign of life of any peer; null: none yet. */
  readonly heardAtMs: number | null
  /** Told when a connection closed without a goodbye, nobody listens at a member's address, or somebody else does. */
  onSuspicion(listener: (incarnation: string, why: 'closed' | 'refused' | 'other') => void): () => void
  /** Told when this node can speak to a peer. */
  onOpen(listener: (incarnation: string) => void): () => void
  /** Told when a peer has dialed this node. */
  onArrival(listener: (incarnation: string) => void): () => void
  /** For the HTTP server's `upgrade` event on `busPath`; absent where peers come another way. */
  handleUpgrade?(request: IncomingMessage, socket: Duplex, head: Buffer): void
}
