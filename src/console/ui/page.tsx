/** A page: its title, what can be done on it, and its content. The title is the document's too. */
import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'

interface Props {
  readonly title: string
  /** Stands beside the title. */
  readonly beside?: ComponentChildren
  readonly actions?: ComponentChildren
  /** Uses the whole width of the window. */
  readonly wide?: boolean
  readonly children?: ComponentChildren
}

export function Page({ title, beside, actions, wide = false, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Lens HA`
  }, [title])
  return (
    <div class={wide ? 'page wide' : 'page'}>
      <div class="page-head">
        <h1>{title}</h1>
        {beside}
        {actions ? <div class="actions">{actions}</div> : null}
      </div>
      {children}
    </div>
  )
}
