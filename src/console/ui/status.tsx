/** A status as a pill: colour, shape and word say the same, so that none is needed alone. */
export type Tone = 'good' | 'bad' | 'warn' | 'active' | 'plain'

const tones: Readonly<Record<string, Tone>> = {
  SUCCESSFUL: 'good',
  OPEN: 'good',
  alive: 'good',
  healthy: 'good',
  FAILED: 'bad',
  dead: 'bad',
  unhealthy: 'bad',
  FAILING: 'warn',
  CANCELED: 'warn',
  CLOSING: 'warn',
  EXPIRED: 'warn',
  draining: 'warn',
  NEW: 'active',
  QUEUED: 'active',
  LAUNCHED: 'active',
  RUNNING: 'active',
  EXECUTED: 'active',
}

const shapes: Readonly<Record<Tone, string>> = { good: '✓', bad: '✕', warn: '▲', active: '●', plain: '○' }

export function toneOf(value: string): Tone {
  return tones[value] ?? 'plain'
}

export function Status({ value, tone = toneOf(value) }: { readonly value: string; readonly tone?: Tone }) {
  return (
    <span class={`status ${tone}`} data-status={value}>
      <span aria-hidden="true">{shapes[tone]}</span>
      {value}
    </span>
  )
}
