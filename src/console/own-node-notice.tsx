/** Says below the header that the node that served this page is leaving or has gone, and where to open the page instead. */
import { currentNode, nameOf } from './answering.ts'
import { type OwnNode, ownNode } from './own-node.ts'
import { usePath } from './routes.ts'
import { useStore } from './store.ts'

const whatHappened: Readonly<Record<OwnNode['state'], string | null>> = {
  alive: null,
  draining: 'is leaving',
  left: 'has left',
  gone: 'has gone',
}

export function OwnNodeNotice() {
  const own = useStore(ownNode)
  const answering = useStore(currentNode)
  const path = usePath()
  const what = own ? whatHappened[own.state] : null
  const here = answering ? nameOf(answering) : ''
  return (
    <div role="status">
      {own && what ? (
        <p class="frame-notice" data-own-node={own.state}>
          <span>
            {`${own.name}, which served this page, ${what}. `}
            {here !== '' && here !== own.name ? `The page goes on at ${here}, but it` : 'The page'} cannot be reloaded
            at this address.
          </span>
          {own.elsewhere ? (
            <a href={`${own.elsewhere.address.replace(/\/+$/, '')}${path}`} target="_blank" rel="noopener">
              Open it at {own.elsewhere.name}
            </a>
          ) : null}
        </p>
      ) : null}
    </div>
  )
}
