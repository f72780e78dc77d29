/** Asks before something that cannot be undone. The browser's own modal dialog: it holds the focus and closes with Escape. */
import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef } from 'preact/hooks'
import { Button } from './button.tsx'

interface Props {
  readonly title: string
  /** What the button says that does it. */
  readonly act: string
  readonly onAct: () => void
  readonly onCancel: () => void
  readonly children?: ComponentChildren
}

export function Confirm({ title, act, onAct, onCancel, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const titleId = useId()
  useEffect(() => {
    const element = dialog.current
    element?.showModal()
    return () => element?.close()
  }, [])
  return (
    <dialog
      ref={dialog}
      aria-labelledby={titleId}
      onCancel={event => {
        event.preventDefault()
        onCancel()
      }}
    >
      <h2 id={titleId}>{title}</h2>
      {children}
      <div class="actions">
        <Button onClick={onCancel}>Cancel</Button>
        <Button kind="danger" onClick={onAct}>
          {act}
        </Button>
      </div>
    </dialog>
  )
}
