/** DuckDB's types and values as Trino names and writes them. */
import {
  type DuckDBArrayType,
  type DuckDBDecimalType,
  type DuckDBListType,
  type DuckDBMapType,
  type DuckDBStructType,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBValue,
} from '@duckdb/node-api'

interface Signature {
  readonly rawType: string
  readonly arguments: readonly { readonly kind: string; readonly value: unknown }[]
}

export interface TypeRule {
  /** As DESCRIBE and `columns` say it. */
  readonly name: string
  readonly signature: Signature
  /** A value that is not NULL as JSON text. */
  write(value: DuckDBValue): string
}

const text = (value: unknown) => JSON.stringify(String(value))
const plain = (value: unknown) => String(value)
const long = (value: number) => ({ kind: 'LONG', value })
const typed = ({ signature }: TypeRule) => ({ kind: 'TYPE', value: signature })

function simple(name: string, write: (value: DuckDBValue) => string, ...args: Signature['arguments']): TypeRule {
  return { name, signature: { rawType: name.replace(/\([^)]*\)/, ''), arguments: args }, write }
}

const real = (value: DuckDBValue) => (Number.isFinite(value as number) ? JSON.stringify(value) : text(value))

/** `fullTimes`: the client knows types of time with a precision; else all have milliseconds. */
export function ruleOf(type: DuckDBType, fullTimes: boolean): TypeRule {
  const timed = (rawType: string, precision: number, zone = ''): TypeRule => ({
    name: fullTimes ? `${rawType}(${precision})${zone}` : `${rawType}${zone}`,
    signature: { rawType: `${rawType}${zone}`, arguments: fullTimes ? [long(precision)] : [] },
    write: value =>
      text(`${digits(String(value).replace(/[+-]\d\d(:\d\d)?$/, ''), fullTimes ? precision : 3)}${zone ? ' UTC' : ''}`),
  })
  const within = (inner: DuckDBType) => ruleOf(inner, fullTimes)
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
      return simple('boolean', plain)
    case DuckDBTypeId.TINYINT:
      return simple('tinyint', plain)
    case DuckDBTypeId.SMALLINT:
    case DuckDBTypeId.UTINYINT:
      return simple('smallint', plain)
    case DuckDBTypeId.INTEGER:
    case DuckDBTypeId.USMALLINT:
      return simple('integer', plain)
    case DuckDBTypeId.BIGINT:
    case DuckDBTypeId.UINTEGER:
      return simple('bigint', plain)
    case DuckDBTypeId.UBIGINT:
    case DuckDBTypeId.HUGEINT:
    case DuckDBTypeId.UHUGEINT:
      return simple('decimal(38,0)', text, long(38), long(0))
    case DuckDBTypeId.FLOAT:
      return simple('real', real)
    case DuckDBTypeId.DOUBLE:
      return simple('double', real)
    case DuckDBTypeId.DECIMAL: {
      const { width, scale } = type as DuckDBDecimalType
      return simple(`decimal(${width},${scale})`, text, long(width), long(scale))
    }
    case DuckDBTypeId.BLOB:
      return simple('varbinary', value => text(Buffer.from((value as { bytes: Uint8Array }).bytes).toString('base64')))
    case DuckDBTypeId.DATE:
      return simple('date', text)
    case DuckDBTypeId.TIME:
      return timed('time', 6)
    case DuckDBTypeId.TIMESTAMP:
      return timed('timestamp', 6)
    case DuckDBTypeId.TIMESTAMP_S:
      return timed('timestamp', 0)
    case DuckDBTypeId.TIMESTAMP_MS:
      return timed('timestamp', 3)
    case DuckDBTypeId.TIMESTAMP_NS:
      return timed('timestamp', 9)
    case DuckDBTypeId.TIMESTAMP_TZ:
      return timed('timestamp', 6, ' with time zone')
    case DuckDBTypeId.UUID:
      return simple('uuid', text)
    case DuckDBTypeId.INTERVAL:
      return simple('interval day to second', text)
    case DuckDBTypeId.SQLNULL:
      return simple('unknown', plain)
    case DuckDBTypeId.LIST:
    case DuckDBTypeId.ARRAY: {
      const element = within((type as DuckDBListType | DuckDBArrayType).valueType)
      const write = (value: DuckDBValue) =>
        `[${(value as { items: readonly DuckDBValue[] }).items.map(item => written(element, item)).join(',')}]`
      return { name: `array(${element.name})`, signature: { rawType: 'array', arguments: [typed(element)] }, write }
    }
    case DuckDBTypeId.MAP: {
      const { keyType, valueType } = type as DuckDBMapType
      const key = within(keyType)
      const inner = within(valueType)
      const name = (value: DuckDBValue) => {
        const one = written(key, value)
        return one.startsWith('"') ? one : JSON.stringify(one)
      }
      const write = (map: DuckDBValue) =>
        `{${(map as { entries: readonly { key: DuckDBValue; value: DuckDBValue }[] }).entries
          .map(entry => `${name(entry.key)}:${written(inner, entry.value)}`)
          .join(',')}}`
      return {
        name: `map(${key.name}, ${inner.name})`,
        signature: { rawType: 'map', arguments: [typed(key), typed(inner)] },
        write,
      }
    }
    case DuckDBTypeId.STRUCT: {
      const { entryNames, entryTypes } = type as DuckDBStructType
      const fields = entryTypes.map((inner, index) => ({ name: entryNames[index] as string, rule: within(inner) }))
      const write = (value: DuckDBValue) => {
        const { entries } = value as { entries: Readonly<Record<string, DuckDBValue>> }
        return `[${fields.map(({ name, rule }) => written(rule, entries[name] as DuckDBValue)).join(',')}]`
      }
      return {
        name: `row(${fields.map(({ name, rule }) => `${name} ${rule.name}`).join(', ')})`,
        signature: {
          rawType: 'row',
          arguments: fields.map(({ name, rule }) => ({
            kind: 'NAMED_TYPE',
            value: { fieldName: { name }, typeSignature: rule.signature },
          })),
        },
        write,
      }
    }
    default:
      return type.alias === 'JSON' ? simple('json', text) : simple('varchar', text, long(2_147_483_647))
  }
}

export function written(rule: TypeRule, value: DuckDBValue): string {
  return value === null ? 'null' : rule.write(value)
}

/** With just so many digits behind the second. */
function digits(value: string, precision: number): string {
  const [whole, fraction = ''] = value.split('.')
  return precision === 0 ? `${whole}` : `${whole}.${fraction.padEnd(precision, '0').slice(0, precision)}`
}
