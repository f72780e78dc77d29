/**
 * Trino's types: the name that a column's type has for clients (the words of DuckDB, where it has the same type, so that a client needs to
 * know one vocabulary), and how a value becomes the JSON of the wire.
 */
import type { Column } from '../../domain/index.ts'
import type { ValueWriter } from '../rows/batches.ts'
import type { TrinoColumn, TrinoValue, TypeArgument, TypeSignature } from './protocol.ts'

type Writer = ValueWriter<TrinoValue>

interface TypeRule {
  readonly name: string
  readonly writer: Writer
}

const asText: Writer = value => JSON.stringify(typeof value === 'string' ? value : String(value))
const asNumber: Writer = value => String(value)
const asBoolean: Writer = value => (value ? 'true' : 'false')
/** `NaN` and the infinities are texts: JSON has no such numbers. */
const asFloat: Writer = value => (typeof value === 'string' ? asText(value) : String(value))
const asTimestamp: Writer = value => asText(timestampText(String(value)))
const asTime: Writer = value => asText(timeText(String(value)))
const asInstant: Writer = value => asText(instantText(String(value)))
const asIs: Writer = value => JSON.stringify(value)

const scalars: Readonly<Record<string, TypeRule>> = {
  boolean: { name: 'BOOLEAN', writer: asBoolean },
  tinyint: { name: 'TINYINT', writer: asNumber },
  smallint: { name: 'SMALLINT', writer: asNumber },
  integer: { name: 'INTEGER', writer: asNumber },
  bigint: { name: 'BIGINT', writer: asText },
  real: { name: 'FLOAT', writer: asFloat },
  double: { name: 'DOUBLE', writer: asFloat },
  varchar: { name: 'VARCHAR', writer: asText },
  char: { name: 'VARCHAR', writer: asText },
  varbinary: { name: 'BLOB', writer: asText },
  json: { name: 'JSON', writer: asText },
  uuid: { name: 'UUID', writer: asText },
  date: { name: 'DATE', writer: asText },
  unknown: { name: '"NULL"', writer: asIs },
  'interval year to month': { name: 'INTERVAL', writer: asText },
  'interval day to second': { name: 'INTERVAL', writer: asText },
}

export function columnOf(column: TrinoColumn): Column {
  return { name: column.name, type: ruleOf(signatureOf(column)).name }
}

export function writerOf(column: TrinoColumn): Writer {
  return ruleOf(signatureOf(column)).writer
}

/** Of a type that only has a name: that name, with the precision that it may have. */
export function nameOfType(type: string): string {
  return ruleOf(signatureOf({ name: '', type })).name
}

function signatureOf({ type, typeSignature }: TrinoColumn): TypeSignature {
  if (typeSignature) return typeSignature
  const match = /^([a-z ]+?)(?:\((\d+)(?:,\s*(\d+))?\))?( with time zone)?$/.exec(type)
  if (!match) return { rawType: type }
  const [, name = '', first, second, zone = ''] = match
  const numbers = [first, second].flatMap(text => (text === undefined ? [] : [{ kind: 'LONG', value: Number(text) }]))
  return { rawType: `${name}${zone}`, arguments: numbers }
}

function ruleOf({ rawType, arguments: given = [] }: TypeSignature): TypeRule {
  const numbers = given.filter(({ kind }) => kind === 'LONG').map(({ value }) => Number(value))
  switch (rawType) {
    case 'decimal':
      return { name: `DECIMAL(${numbers[0] ?? 38},${numbers[1] ?? 0})`, writer: asText }
    case 'timestamp':
      return { name: byPrecision('TIMESTAMP', numbers[0] ?? 3), writer: asTimestamp }
    case 'timestamp with time zone':
      return { name: 'TIMESTAMP WITH TIME ZONE', writer: asInstant }
    case 'time':
      return { name: byPrecision('TIME', numbers[0] ?? 3), writer: asTime }
    case 'time with time zone':
      return { name: 'TIME WITH TIME ZONE', writer: asText }
    case 'array':
      return arrayRule(nested(given[0]))
    case 'map':
      return mapRule(nested(given[0]), nested(given[1]))
    case 'row':
      return rowRule(given)
    default:
      return (
        scalars[rawType] ?? {
          name: rawType,
          writer: value => (typeof value === 'string' ? asText(value) : asIs(value)),
        }
      )
  }
}

/** Microseconds are what most readers know; what is finer has a type of its own, and beyond that it is text. */
function byPrecision(name: string, precision: number): string {
  if (precision <= 6) return name
  return precision <= 9 ? `${name}_NS` : `${name}(${precision})`
}

/** The rule of a type that stands within another one. */
function nested(argument: TypeArgument | undefined): TypeRule {
  const value = argument?.value as TypeSignature | { typeSignature?: TypeSignature } | undefined
  const signature = value && 'rawType' in value ? value : (value as { typeSignature?: TypeSignature })?.typeSignature
  return signature ? ruleOf(signature) : { name: 'VARCHAR', writer: asIs }
}

const orNull =
  (writer: Writer): Writer =>
  value =>
    value === null ? 'null' : writer(value)

function arrayRule(element: TypeRule): TypeRule {
  const write = orNull(element.writer)
  return { name: `${element.name}[]`, writer: value => `[${(value as readonly TrinoValue[]).map(write).join(',')}]` }
}

/** The keys of a map are texts in Trino's JSON, whatever they are. */
function mapRule(key: TypeRule, value: TypeRule): TypeRule {
  const write = orNull(value.writer)
  return {
    name: `MAP(${key.name}, ${value.name})`,
    writer: map =>
      `{${Object.entries(map as Record<string, TrinoValue>)
        .map(([name, item]) => `${JSON.stringify(name)}:${write(item)}`)
        .join(',')}}`,
  }
}

function rowRule(given: readonly TypeArgument[]): TypeRule {
  const fields = given.map((argument, index) => {
    const { fieldName } = (argument.value ?? {}) as { fieldName?: { name?: string } | null }
    return { name: fieldName?.name ?? `field${index}`, rule: nested(argument) }
  })
  const writers = fields.map(({ name, rule }) => ({ name: JSON.stringify(name), write: orNull(rule.writer) }))
  return {
    name: `STRUCT(${fields.map(({ name, rule }) => `${name} ${rule.name}`).join(', ')})`,
    writer: row =>
      `{${(row as readonly TrinoValue[]).map((value, index) => `${writers[index]?.name}:${writers[index]?.write(value)}`).join(',')}}`,
  }
}

// ------------------------------------------------------------ dates and times

const point = /^(-?\d{4,})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(\.\d+)?(?: (.+))?$/

/** `2020-01-31 10:00:00.000` as ISO 8601; what has no such form stays as it is. */
function timestampText(text: string): string {
  const match = point.exec(text)
  if (!match) return text
  const [, year, month, day, hour, minute, second, fraction] = match
  return `${year}-${month}-${day}T${hour}:${minute}:${second}${fractionText(fraction)}`
}

/** A point in time in UTC, whatever its zone. */
function instantText(text: string): string {
  const match = point.exec(text)
  if (!match) return text
  const [, year = '', month, day, hour, minute, second, fraction, zone = 'UTC'] = match
  const local = Date.UTC(2000, Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second))
  const date = new Date(local)
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  const offsetMs = zone === 'UTC' ? 0 : offsetOf(zone, date)
  if (offsetMs === null) return text
  const shifted = new Date(date.getTime() - offsetMs)
  return `${shifted.toISOString().slice(0, -5)}${fractionText(fraction)}Z`
}

/** How far the zone is ahead of UTC when its clocks show this; null for a zone that is not known here. */
function offsetOf(zone: string, local: Date): number | null {
  const fixed = /^([+-])(\d\d):(\d\d)$/.exec(zone)
  if (fixed) return (fixed[1] === '-' ? -1 : 1) * (Number(fixed[2]) * 60 + Number(fixed[3])) * 60_000
  try {
    const first = zoneOffset(zone, local.getTime())
    // Near a change of the clocks the first guess is that of the other side.
    return zoneOffset(zone, local.getTime() - first)
  } catch {
    return null
  }
}

const formats = new Map<string, Intl.DateTimeFormat>()

function zoneOffset(zone: string, atMs: number): number {
  let format = formats.get(zone)
  if (!format) {
    const all = {
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    } as const
    format = new Intl.DateTimeFormat('en-US', { ...all, timeZone: zone, hourCycle: 'h23' })
    if (formats.size < 1_000) formats.set(zone, format)
  }
  const parts = Object.fromEntries(format.formatToParts(new Date(atMs)).map(({ type, value }) => [type, Number(value)]))
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(atMs / 1_000) * 1_000
}

function timeText(text: string): string {
  const [time = text, fraction] = text.split(/(?=\.)/)
  return `${time}${fractionText(fraction)}`
}

/** Zeros alone are left out; the wire has 3, 6 or 9 digits, or as many as there are. */
function fractionText(fraction: string | undefined): string {
  const digits = (fraction ?? '').replace(/0+$/, '')
  if (digits.length <= 1) return ''
  return digits.padEnd(digits.length <= 4 ? 4 : digits.length <= 7 ? 7 : Math.max(10, digits.length), '0')
}
