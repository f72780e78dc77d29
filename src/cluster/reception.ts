/** What a node does about a peer's message: it looks earlier than it would have. */
import type { OwnershipChangeView } from '../domain/index.ts'
import type { PeerMessage } from './bus-contract.ts'
import type { ClusterParts } from './parts.ts'
import type { ClusterLog, OwnedWork } from './ports.ts'

export interface ReceptionOptions {
  readonly parts: Pick<ClusterParts, 'membership' | 'watch' | 'budgets' | 'leadership' | 'detector'>
  readonly work: OwnedWork
  readonly log: ClusterLog
  readonly look: (handles?: readonly string[]) => void
  readonly ownership: (change: OwnershipChangeView, users: readonly string[]) => void
}

export function receive(message: PeerMessage, from: string, options: ReceptionOptions): void {
  const { parts, work, log, look, ownership } = options
  const { membership, watch, budgets, leadership, detector } = parts
  switch (message.type) {
    case 'look':
      look(message.handles)
      break
    case 'cancel':
      if (work.cancel) work.cancel(message.handles)
      else look()
      break
    case 'ownership':
      ownership(message.change, message.users)
      break
    case 'cluster-changed':
      watch.hint()
      budgets.hint()
      leadership.budgets.hint()
      break
    case 'goodbye':
      log.debug({ memberIncarnation: from, reason: message.reason }, 'a peer says goodbye')
      watch.hint()
      break
    case 'suspected':
      if (message.incarnation !== membership.incarnation) void detector.suspect(message.incarnation)
      else membership.confirm().catch(error => log.debug({ err: error }, 'the own row cannot be read'))
  }
}
