/** Which node answers this page, and the word that people get when it has become another one. */
import type { NodeView } from '../client/index.ts'
import { ownNode, ownNodeAfter } from './own-node.ts'
import { createStore } from './store.ts'
import { toast } from './ui/index.ts'

/** Host and port of the node that answered last, for the header; null before the first answer. */
export const currentNode = createStore<string | null>(null)

/** Members by host and port, also those that are no more, as they were last told of. */
const members = new Map<string, Pick<NodeView, 'node' | 'state'>>()

export function noteNodes(nodes: readonly NodeView[]): void {
  for (const node of nodes) {
    const host = URL.parse(node.address)?.host
    if (host !== undefined) members.set(host, node)
  }
  ownNode.set(ownNodeAfter(ownNode.get(), nodes, location.origin))
}

/** `endpoint` is asked first from now on. */
export function noteAnswering(endpoint: string): void {
  const { host } = new URL(endpoint)
  const before = currentNode.get()
  if (before === host) return
  currentNode.set(host)
  if (before === null) return
  const why = members.get(before)?.state === 'draining' ? 'is leaving the cluster' : 'does not answer'
  toast(`${nameOf(before)} ${why}: this page goes on at ${nameOf(host)}.`)
}

/** What a node is called; its host and port where no member has that address. */
export function nameOf(host: string): string {
  return members.get(host)?.node ?? host
}

/** Nobody is signed in any more. */
export function forgetAnswering(): void {
  currentNode.set(null)
}
