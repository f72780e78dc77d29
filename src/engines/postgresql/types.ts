/**
 * PostgreSQL's types: the name that a column's type has for clients (the words of DuckDB, where it has the same type, so that a
 * client needs to know one vocabulary), and how a value's text becomes the JSON of the wire.
 */
import type { Column } from '../../domain/index.ts'
import { arrayJson } from './arrays.ts'
import type { Field } from './conversation.ts'
import { instantText, timestampText, timeText } from './temporal.ts'

/** From the server's text of a value that is not NULL to its JSON. */
export type Writer = (text: string) => string

/** Types of the server's own have numbers below this; all others are the users'. */
const firstUserType = 16_384
const numeric = 1700

const asText: Writer = text => JSON.stringify(text)
/** Texts without anything that JSON would have to escape. */
const asQuoted: Writer = text => `"${text}"`
/** The server writes numbers as JSON does. */
const asNumber: Writer = text => text
const asBoolean: Writer = text => (text === 't' ? 'true' : 'false')
/** `NaN` and the infinities are texts: JSON has no such numbers. */
const asFloat: Writer = text => (text.endsWith('N') || text.endsWith('y') ? asQuoted(text) : text)
const asBytes: Writer = text =>
  text.startsWith('\\x') ? asQuoted(Buffer.from(text.slice(2), 'hex').toString('base64')) : asText(text)
const asTimestamp: Writer = text => asText(timestampText(text))
const asInstant: Writer = text => asText(instantText(text))
const asTime: Writer = text => asText(timeText(text))

const scalars: Readonly<Record<number, readonly [name: string, writer: Writer]>> = {
  16: ['BOOLEAN', asBoolean],
  17: ['BLOB', asBytes],
  18: ['VARCHAR', asText],
  19: ['VARCHAR', asText],
  20: ['BIGINT', asQuoted],
  21: ['SMALLINT', asNumber],
  23: ['INTEGER', asNumber],
  25: ['VARCHAR', asText],
  26: ['UINTEGER', asNumber],
  114: ['JSON', asText],
  700: ['FLOAT', asFloat],
  701: ['DOUBLE', asFloat],
  705: ['VARCHAR', asText],
  1042: ['VARCHAR', asText],
  1043: ['VARCHAR', asText],
  1082: ['DATE', asTimestamp],
  1083: ['TIME', asTime],
  1114: ['TIMESTAMP', asTimestamp],
  1184: ['TIMESTAMP WITH TIME ZONE', asInstant],
  1186: ['INTERVAL', asText],
  1266: ['TIME WITH TIME ZONE', asTime],
  1560: ['BIT', asQuoted],
  1562: ['BIT', asQuoted],
  2275: ['VARCHAR', asText],
  2950: ['UUID', asQuoted],
  3802: ['JSON', asText],
  [numeric]: ['DECIMAL', asQuoted],
}

/** A row of `pg_type`, as `typesSql` gives it. */
export interface TypeRow {
  readonly oid: number
  /** As SQL writes it. */
  readonly name: string
  /** Type of the elements of an array; 0 for what is none. */
  readonly element: number
  readonly delimiter: string
  /** Type under a domain, and its modifier; 0 for what is none. */
  readonly base: number
  readonly base_modifier: number
}

/** One parameter: the numbers of the types, as an array. */
export const typesSql = `
  SELECT t.oid::int8::float8 AS oid, pg_catalog.format_type(t.oid, NULL) AS name, t.typdelim AS delimiter,
         (CASE WHEN t.typcategory = 'A' AND t.typlen = -1 THEN t.typelem ELSE 0 END)::int8::float8 AS element,
         (CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE 0 END)::int8::float8 AS base, t.typtypmod AS base_modifier
  FROM pg_catalog.pg_type t WHERE t.oid = ANY ($1::oid[])`

/** What is known of the types of one database. A type's number is never given to another one while something uses it. */
export class TypeCatalogue {
  readonly #types = new Map<number, TypeRow>()
  readonly #read: (types: readonly number[]) => Promise<readonly TypeRow[]>

  constructor(read: (types: readonly number[]) => Promise<readonly TypeRow[]>) {
    this.#read = read
  }

  /** To be awaited before the others are asked about these types. */
  async learn(types: Iterable<number>): Promise<void> {
    let unknown = this.#unknown(types)
    while (unknown.length > 0) {
      const rows = await this.#read(unknown)
      for (const row of rows) this.#types.set(row.oid, row)
      const seen = new Set(unknown)
      unknown = this.#unknown(rows.flatMap(row => [row.element, row.base])).filter(type => !seen.has(type))
    }
  }

  #unknown(types: Iterable<number>): number[] {
    return [...new Set(types)].filter(type => type !== 0 && !(type in scalars) && !this.#types.has(type))
  }

  columnOf({ name, dataTypeID, dataTypeModifier }: Field): Column {
    return { name, type: this.#nameOf(dataTypeID, dataTypeModifier) }
  }

  writerOf(type: number): Writer {
    const scalar = scalars[type]
    if (scalar) return scalar[1]
    const row = this.#types.get(type)
    if (!row) return asText
    if (row.base !== 0) return this.writerOf(row.base)
    if (row.element === 0) return asText
    const element = this.writerOf(row.element)
    return text => arrayJson(text, element, row.delimiter)
  }

  /** The type of an array's elements, or null for what is no array. */
  elementOf(type: number): number | null {
    const row = this.#types.get(type)
    if (!row) return null
    return row.base === 0 ? row.element || null : this.elementOf(row.base)
  }

  #nameOf(type: number, modifier: number): string {
    if (type === numeric) return decimalName(modifier)
    const scalar = scalars[type]
    if (scalar) return scalar[0]
    const row = this.#types.get(type)
    if (!row) return 'VARCHAR'
    if (row.base !== 0) return this.#nameOf(row.base, row.base_modifier)
    if (row.element !== 0) return `${this.#nameOf(row.element, modifier)}[]`
    return type < firstUserType ? row.name.toUpperCase() : row.name
  }
}

/** DuckDB's form only where a DECIMAL of DuckDB could hold it; of another one, each value has its own scale. */
function decimalName(modifier: number): string {
  if (modifier < 4) return 'DECIMAL'
  const precision = ((modifier - 4) >> 16) & 0xffff
  const scale = ((modifier - 4) & 0x7ff) ^ 1024
  const signed = scale - 1024
  return precision <= 38 && signed >= 0 && signed <= precision ? `DECIMAL(${precision},${signed})` : 'DECIMAL'
}
