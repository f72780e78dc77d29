/** Short notices that pass: said to screen readers too, and gone by themselves unless they are errors. */
import { createStore, useStore } from '../store.ts'
import { Button } from './button.tsx'

interface Toast {
  readonly id: number
  readonly text: string
  readonly kind: 'plain' | 'bad'
}

const toasts = createStore<readonly Toast[]>([])
let last = 0

export function toast(text: string, kind: Toast['kind'] = 'plain'): void {
  const id = ++last
  toasts.set([...toasts.get().slice(-3), { id, text, kind }])
  if (kind === 'plain') setTimeout(() => dismiss(id), 5_000)
}

function dismiss(id: number): void {
  toasts.set(toasts.get().filter(shown => shown.id !== id))
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {useStore(toasts).map(({ id, text, kind }) => (
        <div key={id} class={`toast ${kind}`}>
          <span>{text}</span>
          <Button kind="quiet" small aria-label="Dismiss" onClick={() => dismiss(id)}>
            ✕
          </Button>
        </div>
      ))}
    </div>
  )
}
