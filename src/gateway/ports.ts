/** What the gateway needs of the cluster. The cluster imports the gateway, never the other way; `node.ts` joins them. */
import type {
  ClusterView,
  Interest,
  LogLevelChange,
  LogLevelView,
  OwnershipChangeView,
  ProgressFrame,
  QueryFrame,
} from '../domain/index.ts'

export interface PeerPort {
  /** Frames that were committed here, for the nodes that want them; `query` of a frame is made only when it is read. */
  publish(frames: readonly QueryFrame[]): void
  publishProgress(frame: ProgressFrame): void
  want(interest: Interest): void
  release(interest: Interest): void
  /** Hints. */
  cancelRequested(handles: readonly string[]): void
  sessionClosed(ids: readonly string[]): void
}

export interface ClusterPort {
  /** Members and leader, read from the database or at most a heartbeat old. */
  view(): Promise<ClusterView>
  /** Base URLs of the other living members that accept work. */
  otherNodes(): readonly string[]
  onChange(listener: () => void): () => void
  /** `users` are those whose queries changed hands, in the order of `change.handles`. */
  onOwnership(listener: (change: OwnershipChangeView, users: readonly string[]) => void): () => void
  /** Begins the drain of this node or of another one; false: no such living node. */
  drain(node: string): Promise<boolean>
  /** Null when this node may serve; else why not. */
  notReady(): string | null
}

export interface LogLevelPort {
  /** What the named node, this one (null) or all (`*`) write, after the change, if there is one; null: no such living node. */
  ask(node: string | null, change: LogLevelChange | null): Promise<readonly LogLevelView[] | null>
}
