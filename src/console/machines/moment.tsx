/** What a machine held at one moment: its value, and its context, with what the last step changed marked. */
import type { MachineMoment } from '../../client/index.ts'

interface Props {
  readonly moment: MachineMoment
  readonly before: MachineMoment | null
}

export function Moment({ moment, before }: Props) {
  const context = entriesOf(moment.context)
  const former = new Map(before ? entriesOf(before.context) : [])
  return (
    <section class="moment" aria-label="Value and context" data-moment={moment.version}>
      <p class="moment-value">
        <span class="quiet">value</span> <code>{JSON.stringify(moment.value)}</code>
      </p>
      <dl>
        {context.map(([name, value]) => {
          const text = textOf(value)
          const isChanged = before !== null && textOf(former.get(name)) !== text
          return (
            <div key={name} class={isChanged ? 'changed' : value === null ? 'absent' : undefined} data-context={name}>
              <dt>
                {isChanged ? (
                  <span title="Changed by this step" class="moment-mark">
                    ●<span class="visually-hidden"> changed</span>
                  </span>
                ) : null}
                {name}
              </dt>
              <dd>{text}</dd>
            </div>
          )
        })}
      </dl>
    </section>
  )
}

function entriesOf(context: unknown): [string, unknown][] {
  return context !== null && typeof context === 'object' ? Object.entries(context) : []
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return '–'
  if (typeof value === 'string') return value
  const short = JSON.stringify(value)
  return short.length > 60 ? JSON.stringify(value, null, 2) : short
}
