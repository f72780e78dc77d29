/**
 * MySQL's types: the name that a column's type has for clients (the words of DuckDB, where it has the same type, so that a client
 * needs to know one vocabulary), and how a value becomes the JSON of the wire.
 */
import type { Column } from '../../domain/index.ts'
import type { RowShape } from '../rows/server-run.ts'

/** As the client library gives values that are not NULL. */
export type Value = string | number | Buffer | object

/** Of a column's definition on the wire, what is read here. */
export interface Field {
  readonly name: string
  readonly columnType?: number
  readonly flags: number | string[]
  readonly columnLength?: number
  readonly decimals?: number
  readonly characterSet?: number
  readonly extendedFormat?: string
}

type Writer = (value: Value) => string

const unsignedFlag = 32
const binaryCharacterSet = 63
/** Of a FLOAT or a text there is no number of decimals. */
const noDecimals = 31

const asNumber: Writer = value => (Number.isFinite(value) ? String(value) : JSON.stringify(String(value)))
const asQuoted: Writer = value => `"${value as string}"`
const asText: Writer = value => JSON.stringify(Buffer.isBuffer(value) ? value.toString() : value)
/** Texts that may be anything else too: what the library has read as an object goes as JSON text. */
const asJson: Writer = value => JSON.stringify(typeof value === 'string' ? value : JSON.stringify(value))
const asBytes: Writer = value =>
  `"${(Buffer.isBuffer(value) ? value : Buffer.from(value as string)).toString('base64')}"`
const asTimestamp: Writer = value => `"${timestampText(value as string)}"`
const asInstant: Writer = value => `"${timestampText(value as string)}Z"`
const asTime: Writer = value => `"${fractionPadded(value as string)}"`

/** The shortest text that gives the same FLOAT again. */
const asSingle: Writer = value => {
  const single = Math.fround(value as number)
  if (!Number.isFinite(single)) return asNumber(value)
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(single.toPrecision(digits))
    if (Math.fround(short) === single) return String(short)
  }
  return String(Number(single.toPrecision(9)))
}

function asBits(width: number): Writer {
  return value => {
    const bits = [...(value as Buffer)].map(byte => byte.toString(2).padStart(8, '0')).join('')
    return `"${bits.slice(-width).padStart(width, '0')}"`
  }
}

function timestampText(text: string): string {
  return fractionPadded(text.replace(' ', 'T'))
}

/** The wire has no fraction, or 3 or 6 digits of it. */
function fractionPadded(text: string): string {
  const point = text.indexOf('.')
  if (point < 0) return text
  const digits = text.length - point - 1
  return digits === 0 ? text.slice(0, point) : text.padEnd(point + 1 + (digits <= 3 ? 3 : 6), '0')
}

interface Kind {
  readonly type: string
  readonly writer: Writer
}

const integers: Readonly<Record<number, string>> = {
  1: 'TINYINT',
  2: 'SMALLINT',
  3: 'INTEGER',
  8: 'BIGINT',
  9: 'INTEGER',
  13: 'SMALLINT',
}

function kindOf(field: Field): Kind {
  const { columnType = 253, columnLength = 0, decimals = noDecimals, characterSet } = field
  const isUnsigned = typeof field.flags === 'number' && (field.flags & unsignedFlag) !== 0
  if (field.extendedFormat === 'json') return { type: 'JSON', writer: asJson }
  const integer = integers[columnType]
  if (integer) {
    // A YEAR is without sign, and small.
    const type = isUnsigned && columnType !== 13 ? `U${integer}` : integer
    return { type, writer: columnType === 8 ? asQuoted : asNumber }
  }
  switch (columnType) {
    case 0:
    case 246: {
      const precision = columnLength - (decimals > 0 ? 1 : 0) - (isUnsigned ? 0 : 1)
      return { type: decimalName(precision, decimals), writer: asQuoted }
    }
    case 4:
      return { type: 'FLOAT', writer: asSingle }
    case 5:
      return { type: 'DOUBLE', writer: asNumber }
    case 7:
    case 17:
      return { type: 'TIMESTAMP WITH TIME ZONE', writer: asInstant }
    case 12:
    case 18:
      return { type: 'TIMESTAMP', writer: asTimestamp }
    case 10:
    case 14:
      return { type: 'DATE', writer: asQuoted }
    case 11:
    case 19:
      return { type: 'TIME', writer: asTime }
    case 16:
      return { type: 'BIT', writer: asBits(columnLength) }
    case 245:
      return { type: 'JSON', writer: asJson }
    case 242:
      return { type: 'FLOAT[]', writer: value => JSON.stringify(value) }
    case 255:
      return { type: 'GEOMETRY', writer: asJson }
    default:
      return characterSet === binaryCharacterSet && columnType !== 6
        ? { type: 'BLOB', writer: asBytes }
        : { type: 'VARCHAR', writer: asText }
  }
}

/** DuckDB's form only where a DECIMAL of DuckDB could hold it. */
export function decimalName(precision: number, scale: number): string {
  return precision >= 1 && precision <= 38 && scale <= precision ? `DECIMAL(${precision},${scale})` : 'DECIMAL'
}

export function shapeOf(fields: readonly Field[]): RowShape<Value> {
  const kinds = fields.map(kindOf)
  return { columns: columnsOf(fields), writers: kinds.map(({ writer }) => writer) }
}

export function columnsOf(fields: readonly Field[]): readonly Column[] {
  return fields.map(field => ({ name: field.name, type: kindOf(field).type }))
}
