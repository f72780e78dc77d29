/**
 * W3C Trace Context, as far as it travels with a query. The ids of a query's spans follow from its handle: whoever owns it after a death
 * names the same parents, and an engine can be told of a span that is written only when it ends.
 */

/** `00-<32 hex>-<16 hex>-<2 hex>`. */
export interface TraceParent {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
}

/** What a `traceparent` says; null for anything that is none. Later versions may say more behind it. */
export function parseTraceParent(text: string | null | undefined): TraceParent | null {
  const [, version = '', traceId = '', spanId = '', flags = '', more = ''] =
    /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/.exec(text ?? '') ?? []
  if (version === '' || version === 'ff' || (version === '00' && more !== '')) return null
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

export function formatTraceParent({ traceId, spanId, sampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`
}

/** Spans whose ids others must know before they are written. */
const parts = { query: 0n, attempt: 1n, engine: 2n } as const

/** 64 bits of the handle, most of which are random, and what tells the spans of one query apart. */
export function spanIdOf(handle: string, part: keyof typeof parts, attempt = 0): string {
  const own = BigInt(`0x${handle.replaceAll('-', '').slice(-16)}`)
  return (own ^ (parts[part] << 60n) ^ (BigInt(attempt) << 40n)).toString(16).padStart(16, '0')
}

/** What the engine is told of the trace of a query: its own span of this attempt as parent. */
export function engineTraceParent(
  traceparent: string | null | undefined,
  handle: string,
  attempt: number,
): string | null {
  const parent = parseTraceParent(traceparent)
  return parent && formatTraceParent({ ...parent, spanId: spanIdOf(handle, 'engine', attempt) })
}
