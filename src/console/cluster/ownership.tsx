/** Queries that changed hands while this page was looking, the latest first. */
import type { OwnershipChangeView } from '../../client/index.ts'
import { Empty, Time } from '../ui/index.ts'

const handlesShown = 5

export function Ownership({ changes }: { readonly changes: readonly OwnershipChangeView[] }) {
  return (
    <section class="card cluster-part" aria-labelledby="ownership">
      <h2 id="ownership">Changes of ownership</h2>
      {changes.length === 0 ? (
        <Empty title="Nothing has changed hands">What a node takes over from another appears here as it happens.</Empty>
      ) : (
        // A frame that scrolls must be reachable by keyboard.
        <section class="changes-frame" tabIndex={0} aria-label="Changes of ownership, the latest first">
          <ol class="changes" aria-live="polite">
            {changes.map((change, index) => (
              <li
                key={`${change.at} ${change.from} ${change.to} ${changes.length - index}`}
                data-change={change.kind}
                data-from={change.from}
                data-to={change.to}
              >
                <span class={`status ${change.kind === 'takeover' ? 'warn' : 'active'}`}>
                  <span aria-hidden="true">{change.kind === 'takeover' ? '▲' : '⇄'}</span>
                  {change.kind}
                </span>
                <b>
                  {change.from} <span aria-hidden="true">→</span>
                  <span class="visually-hidden"> to </span> {change.to}
                </b>
                <span>
                  {change.count} {change.count === 1 ? 'query' : 'queries'}
                </span>
                <span class="quiet">
                  <Time at={change.at} />
                </span>
                {change.handles.length > 0 ? <Handles handles={change.handles} /> : null}
              </li>
            ))}
          </ol>
        </section>
      )}
    </section>
  )
}

function Handles({ handles }: { readonly handles: readonly string[] }) {
  const more = handles.length - handlesShown
  return (
    <span class="change-handles">
      {handles.slice(0, handlesShown).map(handle => (
        <a key={handle} href={`/queries/${handle}`} title={handle}>
          <code>…{handle.slice(-8)}</code>
        </a>
      ))}
      {more > 0 ? <span class="quiet">and {more} more</span> : null}
    </span>
  )
}
