/**
 * What becomes of the node that served this page. The page goes on without it, but cannot be loaded again at its address, and
 * hears of nobody new whom it might go on at: people should know.
 *
 *     unknown ──▶ alive ──▶ draining ──▶ left ──(it is a member again)──▶ alive
 *                   └──────────────────▶ gone ──(it is a member again)──▶ alive
 */
import type { NodeView } from '../client/index.ts'
import { createStore } from './store.ts'

export interface OwnNode {
  readonly name: string
  /** `left`: it took its leave; `gone`: it is no member any more, and nobody saw it leave. */
  readonly state: 'alive' | 'draining' | 'left' | 'gone'
  /** Address of a living member other than this one; null where there is none. */
  readonly elsewhere: { readonly name: string; readonly address: string } | null
}

/** null where no member has this page's address: it is a proxy's. */
export const ownNode = createStore<OwnNode | null>(null)

/** Names of one place, of which a browser may say the other than the cluster. */
const loopbackNames = ['127.0.0.1', 'localhost']

type Member = Pick<NodeView, 'node' | 'address' | 'state'>

/** With the members as they are told now, for a page from `origin`. */
export function ownNodeAfter(before: OwnNode | null, members: readonly Member[], origin: string): OwnNode | null {
  const own = members.find(({ address, state }) => state !== 'dead' && isSame(address, origin))
  const name = own?.node ?? before?.name
  if (name === undefined) return null
  const other = members.find(member => member !== own && member.state === 'alive')
  return {
    name,
    state: own ? (own.state as 'alive' | 'draining') : isLeaving(before) ? 'left' : 'gone',
    elsewhere: other ? { name: other.node, address: other.address } : null,
  }
}

export function isLeaving(own: OwnNode | null): boolean {
  return own?.state === 'draining' || own?.state === 'left'
}

function isSame(address: string, origin: string): boolean {
  const [one, other] = [URL.parse(address), URL.parse(origin)]
  if (!one || !other || one.protocol !== other.protocol || one.port !== other.port) return false
  return (
    one.hostname === other.hostname || (loopbackNames.includes(one.hostname) && loopbackNames.includes(other.hostname))
  )
}
