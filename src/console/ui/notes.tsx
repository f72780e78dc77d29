/** What a page says when something went wrong, and when there is nothing to show. */
import type { ComponentChildren } from 'preact'
import { LensClientError } from '../../client/index.ts'
import { adviceFor } from './advice.ts'
import { Button } from './button.tsx'

/** An error as one line for people. */
export function textOf(error: unknown): string {
  if (error instanceof LensClientError) return error.detail
  return error instanceof Error ? error.message : String(error)
}

interface ErrorProps {
  readonly error: unknown
  readonly retry?: () => void
  readonly children?: ComponentChildren
}

export function ErrorNote({ error, retry, children }: ErrorProps) {
  const fault = error instanceof LensClientError ? error : null
  return (
    <div class="note" role="alert">
      {fault ? <strong>{fault.code}</strong> : null}
      <span>{textOf(error)}</span>
      {fault ? <Advice fault={fault} /> : null}
      {retry ? (
        <Button small onClick={retry}>
          Try again
        </Button>
      ) : null}
      {children}
    </div>
  )
}

/** What can be done about it, in a line of its own. */
export function Advice({ fault }: { readonly fault: Parameters<typeof adviceFor>[0] }) {
  const text = adviceFor(fault)
  return text === null ? null : <p class="advice">{text}</p>
}

export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <div class="empty">
      <strong>{title}</strong>
      {children}
    </div>
  )
}
