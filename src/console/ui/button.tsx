/** A button that says by its kind what it does: `primary` is the page's main act, `danger` takes something away. */
import type { ButtonHTMLAttributes, ComponentChildren } from 'preact'

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly kind?: 'primary' | 'plain' | 'danger' | 'quiet'
  readonly small?: boolean
  readonly children?: ComponentChildren
}

export function Button({ kind = 'plain', small = false, children, ...rest }: Props) {
  return (
    <button type="button" {...rest} class={`button ${kind}${small ? ' small' : ''}`}>
      {children}
    </button>
  )
}
