/**
 * No secret reaches a log: values under telling names are replaced at any depth, and credentials inside URLs and
 * `Bearer` texts are blanked wherever they stand, messages and stacks included.
 */

const censor = '[redacted]'
const secretName = /^(authorization|cookie|set-cookie|.*token|.*secret|.*secretHash|.*password)$/i
const depthMax = 8

/** Text with the credentials of URLs and authorization headers blanked. */
export function maskText(text: string): string {
  return text
    .replace(/\b([a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s/]*@/gi, `$1:${censor}@`)
    .replace(/\b(Bearer|Basic)\s+[\w.~+/=-]+/gi, `$1 ${censor}`)
}

/** A copy that may be logged. Errors are left to the error serializer; what is nested too deeply is cut. */
export function redacted(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return maskText(value)
  if (typeof value !== 'object' || value === null || value instanceof Error || value instanceof Date) return value
  if (depth >= depthMax) return '[too deep]'
  if (Array.isArray(value)) return value.map(item => redacted(item, depth + 1))
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  const copy: Record<string, unknown> = {}
  for (const [name, item] of Object.entries(value)) {
    copy[name] = secretName.test(name) && item !== null && item !== undefined ? censor : redacted(item, depth + 1)
  }
  return copy
}
