/** Says what is wrong with a request: which field, what was expected; all faults at once. */
import type { FastifySchemaValidationError } from 'fastify'
import { faultsNamedMax } from './bounds.ts'

interface Fault extends FastifySchemaValidationError {
  readonly parentSchema?: { readonly description?: string; readonly properties?: Readonly<Record<string, unknown>> }
}

const articles: Readonly<Record<string, string>> = {
  string: 'a string',
  integer: 'an integer',
  number: 'a number',
  boolean: 'true or false',
  object: 'an object',
  array: 'an array',
  null: 'null',
}

/** `part` is `body`, `querystring`, `params` or `frame`. */
export function describeFaults(faults: readonly FastifySchemaValidationError[], part: string): string {
  const place = part === 'querystring' ? 'query' : part === 'params' ? 'path' : part
  const texts = [
    ...new Set(
      faults.filter(fault => !fault.schemaPath.endsWith('/propertyNames')).map(fault => describe(fault, place)),
    ),
  ]
  const named = texts.slice(0, faultsNamedMax).join('; ')
  return texts.length > faultsNamedMax ? `${named}; and ${texts.length - faultsNamedMax} more` : named
}

function describe(fault: Fault, place: string): string {
  const field = place + fault.instancePath.replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~')
  const params = fault.params as Record<string, unknown>
  const about = fault.parentSchema?.description
  switch (fault.keyword) {
    case 'required':
      return `${field}.${shortened(params.missingProperty)}: required, but missing`
    case 'additionalProperties': {
      const known = Object.keys(fault.parentSchema?.properties ?? {})
      const expected = known.length > 0 ? `expected only ${known.join(', ')}` : 'expected another name'
      return `${field}.${shortened(params.additionalProperty)}: unknown field, ${expected}`
    }
    case 'type': {
      const types = Array.isArray(params.type) ? params.type : [params.type]
      return `${field}: expected ${types.map(type => articles[String(type)] ?? String(type)).join(' or ')}`
    }
    case 'enum':
      return `${field}: expected one of ${(params.allowedValues as unknown[]).join(', ')}`
    case 'const':
      return `${field}: expected ${String(params.allowedValue)}`
    case 'minimum':
    case 'maximum':
    case 'exclusiveMinimum':
    case 'exclusiveMaximum':
      return `${field}: expected a number ${String(params.comparison)} ${String(params.limit)}`
    case 'minLength':
      return `${field}: expected at least ${String(params.limit)} characters`
    case 'maxLength':
      return `${field}: expected at the most ${String(params.limit)} characters`
    case 'maxItems':
    case 'maxProperties':
      return `${field}: expected at the most ${String(params.limit)} entries`
    case 'minProperties':
      return `${field}: expected at least one field`
    case 'pattern':
      return `${field}: expected ${about ? about.replace(/\.$/, '') : `a text that matches ${String(params.pattern)}`}`
    default:
      return `${field}: ${fault.message ?? 'not of the expected form'}`
  }
}

// The name comes from the client: enough of it to be found, not enough to be a burden.
export function shortened(name: unknown): string {
  const text = String(name)
  return text.length > 64 ? `${text.slice(0, 64)}…` : text
}
