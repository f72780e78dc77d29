/**
 * Bytes of a body → value. Stricter than `JSON.parse` where laxness becomes someone else's defect later: broken UTF-8 and
 * lone surrogates (the database refuses them), nesting (recursive code behind us), numbers that are infinite once parsed.
 */
import { jsonDepthMax } from './bounds.ts'
import { shortened } from './faults.ts'
import { invalid } from './problem.ts'

const decoder = new TextDecoder('utf-8', { fatal: true })

/** The value; undefined for an empty body. Throws REQUEST_INVALID. */
export function parseJsonBody(bytes: Uint8Array): unknown {
  if (bytes.byteLength === 0) return undefined
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch {
    throw invalid('body: expected UTF-8')
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    // The parser quotes what it found, which is the client's own text; only the place is kept.
    const place = /position \d+|end of JSON input/.exec((error as Error).message)?.[0]
    throw invalid(`body: expected JSON${place ? `; it breaks at ${place}` : ''}`)
  }
  check(value, 'body', 1)
  return value
}

function check(value: unknown, field: string, depth: number): void {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw invalid(`${shortened(field)}: expected text without lone surrogates`)
  } else if (typeof value === 'number') {
    if (!Number.isFinite(value))
      throw invalid(`${shortened(field)}: expected a number within the range of double precision`)
  } else if (typeof value === 'object' && value !== null) {
    if (depth > jsonDepthMax) throw invalid(`body: expected at the most ${jsonDepthMax} levels of nesting`)
    if (Array.isArray(value)) for (const [index, item] of value.entries()) check(item, `${field}.${index}`, depth + 1)
    else
      for (const name of Object.keys(value)) {
        if (!name.isWellFormed()) throw invalid(`${shortened(field)}: expected names without lone surrogates`)
        // Copying such an object by assignment would change its prototype.
        if (name === '__proto__') throw invalid(`${shortened(field)}: expected no field of the name __proto__`)
        check((value as Record<string, unknown>)[name], `${field}.${name}`, depth + 1)
      }
  }
}
