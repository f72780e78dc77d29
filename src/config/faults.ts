/** What is wrong with a configuration: all of it at once, each fault with its key, what was expected and what stands there. */
import { join, mapOf, type SchemaNode } from './tree.ts'

export interface ConfigFault {
  /** Dotted path of the key; empty when the file as a whole is meant. */
  readonly key: string
  /** What was expected, and what was found; never a secret. */
  readonly message: string
  /** The file, variable or flag that says so; null when it is a default that does not fit the rest. */
  readonly source: string | null
}

export class ConfigError extends Error {
  readonly faults: readonly ConfigFault[]

  constructor(faults: readonly ConfigFault[]) {
    const lines = faults.map(({ key, message, source }) => {
      const where = source === null ? '' : ` (${source})`
      return `  ${key === '' ? '' : `${key}: `}${message}${where}`
    })
    super(`The configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n${lines.join('\n')}`)
    this.name = 'ConfigError'
    this.faults = faults
  }
}

/** What a leaf accepts, in words: `an integer from 0 to 65535`. */
export function expectation(node: SchemaNode): string {
  if (node.enum) return node.enum.length === 1 ? `"${node.enum[0]}"` : `one of ${node.enum.join(', ')}`
  switch (node.type) {
    case 'integer': {
      const unit = node.unit === 'ms' ? ' (milliseconds)' : node.unit ? ` (${node.unit})` : ''
      return `an integer from ${node.minimum} to ${node.maximum}${unit}`
    }
    case 'boolean':
      return 'true or false'
    case 'array':
      return 'a list of texts'
    case 'object':
      return 'a group of keys'
    default:
      if (node.pattern) return `a text like ${node.pattern}`
      return node.minLength !== undefined && node.minLength > 1
        ? `a text of at least ${node.minLength} characters`
        : 'a text that is not empty'
  }
}

/** The value as a message may show it. */
export function shown(value: unknown, node: SchemaNode): string {
  if (value === null || value === undefined) return 'nothing'
  if (node.secret) return 'something else (not shown)'
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** Every key that is a leaf, as dotted paths; the names of maps as `<name>`. */
export function knownKeys(node: SchemaNode, path = ''): string[] {
  if (node.properties)
    return Object.entries(node.properties).flatMap(([key, child]) => knownKeys(child, join(path, key)))
  const map = mapOf(node)
  return map ? knownKeys(map.value, join(path, '<name>')) : [path]
}

/** The known key that was most probably meant. */
export function nearestKey(wrong: string, known: readonly string[]): string | undefined {
  const last = (path: string) => path.slice(path.lastIndexOf('.') + 1).toLowerCase()
  let best: string | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  for (const key of known) {
    // A right name in the wrong group is nearer than any misspelling, hence the half step for the group.
    const inGroup = distance(wrong.toLowerCase(), key.toLowerCase())
    const byName = distance(last(wrong), last(key)) + 0.5
    const nearest = Math.min(inGroup, byName)
    if (nearest < bestDistance) {
      best = key
      bestDistance = nearest
    }
  }
  return best
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
