/** Properties of a session, without the values that look like secrets: a screen is seen by more people than its owner. */

import { hidden, shownValue } from './shown-value.ts'

export function Properties({ properties }: { readonly properties: Readonly<Record<string, string>> }) {
  const entries = Object.entries(properties).sort(([a], [b]) => (a < b ? -1 : 1))
  if (entries.length === 0) return <span class="quiet">none</span>
  return (
    <details class="properties">
      <summary>{entries.length === 1 ? '1 property' : `${entries.length} properties`}</summary>
      <dl>
        {entries.map(([name, value]) => {
          const shown = shownValue(name, value)
          return (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{shown === hidden ? <HiddenValue /> : shown}</dd>
            </div>
          )
        })}
      </dl>
    </details>
  )
}

function HiddenValue() {
  return (
    <>
      <span aria-hidden="true">{hidden}</span>
      <span class="visually-hidden">hidden</span>
    </>
  )
}
