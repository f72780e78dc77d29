/** Values of the wire as texts that PostgreSQL reads as the parameter's type. */
import type { WireValue } from '../../domain/index.ts'
import { EngineError } from '../contract.ts'
import type { TypeCatalogue } from './types.ts'

const json = new Set([114, 3802])
const bytea = 17
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Throws `sql-invalid` when there are too many or too few. `types`: of the parameters, as the server described them. */
export function parameterTexts(
  values: readonly WireValue[],
  types: readonly number[],
  catalogue: TypeCatalogue,
): (string | null)[] {
  if (values.length !== types.length)
    throw new EngineError('sql-invalid', `The statement has ${types.length} parameters, ${values.length} were given.`)
  return values.map((value, index) => {
    if (typeof value === 'string' && value.includes('\0'))
      throw new EngineError('sql-invalid', `Parameter ${index + 1} cannot be used: it holds a NUL character.`)
    return textOf(value, types[index] as number, catalogue)
  })
}

function textOf(value: WireValue, type: number, catalogue: TypeCatalogue): string | null {
  if (value === null) return null
  if (json.has(type)) return typeof value === 'string' ? value : JSON.stringify(value)
  if (typeof value === 'string') return type === bytea ? bytesText(value) : value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (Array.isArray(value)) {
    const element = catalogue.elementOf(type)
    if (element !== null) return arrayText(value, element, catalogue)
  }
  return JSON.stringify(value)
}

/** Binary is base64 on the wire; the server's own forms are taken too. */
function bytesText(value: string): string {
  if (value.startsWith('\\x') || !base64.test(value)) return value
  return `\\x${Buffer.from(value, 'base64').toString('hex')}`
}

function arrayText(values: readonly WireValue[], element: number, catalogue: TypeCatalogue): string {
  const items = values.map(value => {
    if (Array.isArray(value) && !json.has(element)) return arrayText(value, element, catalogue)
    const text = textOf(value, element, catalogue)
    return text === null ? 'NULL' : `"${text.replace(/["\\]/g, '\\$&')}"`
  })
  return `{${items.join(',')}}`
}
