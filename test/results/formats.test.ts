/** Every type through every form: what DuckDB gave comes back from CSV (as DuckDB itself reads it) and from Arrow (as its own reader does). */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { tableFromIPC, type Vector } from 'apache-arrow'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import type { Column, WireValue } from '../../src/domain/index.ts'
import { ResultReader } from '../../src/results/index.ts'
import { collect, request, submit } from '../conformance/engines.ts'
import { openDuckDb } from '../engines/support.ts'
import { temporaryFolder } from '../support/folders.ts'
import { body, encoded, ownedQuery, written } from './support.ts'

async function resultOf(t: ExecutionContext, sql: string) {
  const query = await ownedQuery(t)
  const { driver } = await openDuckDb(t, {})
  const run = await submit(driver, sql)
  const { rowCount } = await written(query, run.rows())
  const columns = await run.columns()
  const { rows } = await collect(await driver.submit(request(sql), async () => {}))
  return { query, columns, rows, rowCount }
}

/** Fields as DuckDB reads them from the file, unquoted; NULL where nothing stood. */
async function parsedByDuckDb(
  t: ExecutionContext,
  csv: Buffer,
): Promise<{ names: string[]; rows: (string | null)[][] }> {
  const file = join(await temporaryFolder(t, 'csv'), 'result.csv')
  await writeFile(file, csv)
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    const result = await connection.run(
      `SELECT * FROM read_csv('${file}', header = true, all_varchar = true, auto_detect = false, delim = ',', quote = '"', escape = '"', ` +
        `new_line = '\\r\\n', nullstr = '', allow_quoted_nulls = false, max_line_size = 20000000, columns = {${headerOf(
          csv,
        )
          .map(name => `'${name}': 'VARCHAR'`)
          .join(', ')}})`,
    )
    return { names: result.columnNames(), rows: (await result.getRows()) as (string | null)[][] }
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

function headerOf(csv: Buffer): string[] {
  return csv.toString('utf8', 0, csv.indexOf('\r\n')).split(',')
}

/** What a field of CSV must hold. */
function fieldOf(value: WireValue): string | null {
  if (value === null) return null
  return typeof value === 'string' ? value : JSON.stringify(value)
}

const allTypes = 'SELECT * EXCLUDE (medium_enum, varchar) FROM test_all_types()'

test('CSV of every type is read back by DuckDB', async t => {
  const { query, columns, rows, rowCount } = await resultOf(t, allTypes)
  const parsed = await parsedByDuckDb(t, await body(query, 'csv', columns, rowCount))
  t.deepEqual(
    parsed.names,
    columns.map(({ name }) => name),
  )
  t.is(parsed.rows.length, rows.length)
  rows.forEach((row, index) => {
    row.forEach((value, column) => {
      const field = parsed.rows[index]?.[column] ?? null
      if (typeof value === 'number') t.is(Number(field), value, columns[column]?.name)
      else if (typeof value === 'object' && value !== null)
        t.deepEqual(JSON.parse(`${field}`), value, columns[column]?.name)
      else t.is(field, fieldOf(value), columns[column]?.name)
    })
  })
})

test('CSV is what RFC 4180 says, byte by byte', async t => {
  const query = await ownedQuery(t)
  const columns = [
    { name: 'plain', type: 'VARCHAR' },
    { name: 'with,comma', type: 'VARCHAR' },
    { name: 'with"quote', type: 'INTEGER' },
  ]
  const rows: WireValue[][] = [
    ['a', null, 1],
    ['', 'x,y', -1.5],
    ['say "hi"', 'two\r\nlines', null],
    [' spaces ', 'tab\there', 1e300],
    ['\u0001', '🦆\\', 0],
    [[1, 'a"b'], { k: 'v,w' }, true],
  ]
  await written(query, await encoded([rows]))
  t.is(
    (await body(query, 'csv', columns, rows.length)).toString(),
    [
      'plain,"with,comma","with""quote"',
      'a,,1',
      '"","x,y",-1.5',
      '"say ""hi""","two\r\nlines",',
      ' spaces ,"tab\there",1e+300',
      '"\u0001","🦆\\",0',
      '"[1,""a\\""b""]","{""k"":""v,w""}",true',
      '',
    ].join('\r\n'),
  )
})

test('any texts survive CSV', async t => {
  const query = await ownedQuery(t)
  const columns = ['a', 'b', 'c'].map(name => ({ name, type: 'VARCHAR' }))
  let attempt = 0
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom('"', ',', '\r', '\n', '\\', 'ä', '🦆', ' ', 'x', '\u0007') }),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(text, fc.option(text), text), { minLength: 1, maxLength: 20 }),
      async generated => {
        // CSV of DuckDB knows no NUL, and the last column must not end a row in a NULL.
        const rows = generated.map(row => row.map(value => value?.replaceAll('\0', '') ?? null))
        attempt++
        await written(query, await encoded([rows]), { attempt })
        const chunks: Uint8Array[] = []
        const reader = new ResultReader({ pages: query.store.pages })
        for await (const chunk of reader.stream({
          handle: query.handle,
          attempt,
          columns,
          rowCount: rows.length,
          format: 'csv',
          offset: 0,
        }))
          chunks.push(chunk)
        t.deepEqual(fieldsOf(Buffer.concat(chunks).toString()).slice(1), rows)
      },
    ),
    { numRuns: 200 },
  )
})

/** RFC 4180, read strictly, but for NULL: a field with nothing in it, not even quotes. */
function fieldsOf(csv: string): (string | null)[][] {
  const rows: (string | null)[][] = []
  let row: (string | null)[] = []
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/gy
  while (field.lastIndex < csv.length) {
    const at = field.lastIndex
    const found = field.exec(csv)
    if (!found) throw new Error(`no field at ${at}: ${JSON.stringify(csv.slice(at, at + 50))}`)
    row.push(found[1] === undefined ? found[2] || null : found[1].replaceAll('""', '"'))
    if (found[3] === ',') continue
    rows.push(row)
    row = []
  }
  return rows
}

test('Arrow of every type is read back by its own reader', async t => {
  const { query, columns, rows, rowCount } = await resultOf(t, `${allTypes.replace(', varchar', '')}`)
  const table = tableFromIPC(await body(query, 'arrow', columns, rowCount))
  t.is(table.numRows, rowCount)
  t.deepEqual(
    table.schema.fields.map(field => field.name),
    columns.map(({ name }) => name),
  )
  columns.forEach((column, index) => {
    const vector = table.getChildAt(index) as Vector
    rows.forEach((row, at) => {
      t.deepEqual(fromArrow(vector, at, column), inType(row[index], column), `${column.name} ${vector.type}`)
    })
  })
})

const arrowTypes: Readonly<Record<string, string>> = {
  BOOLEAN: 'Bool',
  TINYINT: 'Int8',
  SMALLINT: 'Int16',
  INTEGER: 'Int32',
  BIGINT: 'Int64',
  UTINYINT: 'Uint8',
  USMALLINT: 'Uint16',
  UINTEGER: 'Uint32',
  UBIGINT: 'Uint64',
  HUGEINT: 'Decimal[38e0]',
  FLOAT: 'Float32',
  DOUBLE: 'Float64',
  'DECIMAL(18,3)': 'Decimal[18e+3]',
  DATE: 'Date32<DAY>',
  TIMESTAMP_S: 'Timestamp<SECOND>',
  TIMESTAMP_MS: 'Timestamp<MILLISECOND>',
  TIMESTAMP: 'Timestamp<MICROSECOND>',
  TIMESTAMP_NS: 'Timestamp<NANOSECOND>',
  TIMESTAMPTZ: 'Timestamp<MICROSECOND, UTC>',
  TIME: 'Time64<MICROSECOND>',
  BLOB: 'Binary',
  VARCHAR: 'Utf8',
  UUID: 'Utf8',
  INTERVAL: 'Utf8',
  'INTEGER[]': 'Utf8',
}

test('Arrow types follow the column types', async t => {
  const types = Object.keys(arrowTypes)
  const { query, columns, rowCount } = await resultOf(t, `SELECT ${types.map(type => `NULL::${type}`).join(', ')}`)
  const { schema } = tableFromIPC(await body(query, 'arrow', columns, rowCount))
  t.deepEqual(
    schema.fields.map(field => `${field.type}`),
    Object.values(arrowTypes),
  )
})

test('thousands of numbers, decimals and times survive Arrow', async t => {
  const { query, columns, rows, rowCount } = await resultOf(
    t,
    `SELECT CASE WHEN i % 7 = 3 THEN NULL ELSE (h % 4294967296)::BIGINT - 2147483648 END::INTEGER AS a,
      ((h::HUGEINT - 9223372036854775808) >> (i % 63)::INTEGER)::BIGINT AS b, h >> (i % 64) AS c,
      (h::HUGEINT - 9223372036854775808) * (hash(h) >> (i % 64 + 1)) AS d,
      (((h >> 12)::BIGINT - (1::BIGINT << 51)) / 17)::DECIMAL(18, 3) AS e,
      ((h::HUGEINT - 9223372036854775808) / 1000000007)::DECIMAL(38, 15) AS f,
      ((h % 20000)::INTEGER - 10000)::DECIMAL(9, 2) AS g,
      (h::DOUBLE - 9e18) / power(10, i % 300) AS k, ((h::DOUBLE - 9e18) / power(10, i % 50))::FLOAT AS l,
      DATE '1970-01-01' + ((h % 4000000)::INTEGER - 1000000) AS m,
      make_timestamp((h % 400000000000000000)::BIGINT - 100000000000000000) AS n,
      make_timestamp_ns((h % 8000000000000000000)::BIGINT) AS o, TIME '00:00:00' + to_microseconds((h % 86400000000)::BIGINT) AS p,
      CASE WHEN i % 5 = 0 THEN NULL ELSE repeat('ä"🦆\\\n', (i % 9)::INTEGER) END AS q, i % 2 = 0 AS r, encode(i::VARCHAR) AS s
      FROM (SELECT range AS i, hash(range) AS h FROM range(5000))`,
  )
  const table = tableFromIPC(await body(query, 'arrow', columns, rowCount))
  columns.forEach((column, index) => {
    const vector = table.getChildAt(index) as Vector
    for (let at = 0; at < rows.length; at++) {
      const found = fromArrow(vector, at, column)
      const expected = inType(rows[at]?.[index], column)
      if (found !== expected) t.deepEqual(found, expected, `${column.name} ${column.type} ${at}`)
    }
  })
  t.is(table.numRows, rows.length)
})

/** An Arrow value as the wire has it, from the raw words, for the reader's own values are rounded. */
function fromArrow(vector: Vector, row: number, { type }: Column): WireValue {
  if (!vector.isValid(row)) return null
  let at = row
  let chunk = 0
  while (at >= (vector.data[chunk]?.length ?? 0)) at -= vector.data[chunk++]?.length ?? 0
  const data = vector.data[chunk]
  if (!data) throw new Error('no such row')
  const decimal = /^DECIMAL\(\d+,(\d+)\)$/.exec(type)
  if (type === 'HUGEINT' || decimal)
    return decimalText((data.values as Uint32Array).subarray(at * 4, at * 4 + 4), Number(decimal?.[1] ?? 0))
  if (type === 'DATE') return isoTime(BigInt((data.values as Int32Array)[at] as number) * 86_400n, 0n, 0).slice(0, -9)
  const unit = /^(?:TIMESTAMP|TIME)(_S|_MS|_NS|)( WITH TIME ZONE)?$/.exec(type)
  if (unit && type !== 'TIME WITH TIME ZONE')
    return temporal((data.values as BigInt64Array)[at] as bigint, type, unit[1] ?? '', Boolean(unit[2]))
  const value = vector.get(row)
  if (type === 'BIGINT' || type === 'UBIGINT') return `${value}`
  if (type === 'FLOAT' || type === 'DOUBLE') return Number.isFinite(value) ? value : `${value}`
  if (type === 'BLOB' || type === 'GEOMETRY') return Buffer.from(value).toString('base64')
  if (/^(?:STRUCT|MAP)\(|\]$/.test(type)) return JSON.parse(value)
  // A union's member may be a number: its JSON text.
  return type.startsWith('UNION') && /^\d+$/.test(value) ? Number(value) : value
}

function decimalText(words: Uint32Array, scale: number): string {
  let value = 0n
  for (let word = 3; word >= 0; word--) value = (value << 32n) | BigInt(words[word] as number)
  value = BigInt.asIntN(128, value)
  const digits = `${value < 0n ? -value : value}`.padStart(scale + 1, '0')
  const text = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`
  return value < 0n ? `-${text}` : text
}

/** What the wire's value is in the column's type: the text of a FLOAT is the shortest one, not the exact one. */
function inType(value: WireValue | undefined, { type }: Column): WireValue | undefined {
  return type === 'FLOAT' && typeof value === 'number' ? Math.fround(value) : value
}

function temporal(value: bigint, type: string, unit: string, zoned: boolean): string {
  const digits = { _S: 0, _MS: 3, _NS: 9 }[unit] ?? 6
  const perSecond = 10n ** BigInt(digits)
  const fraction = ((value % perSecond) + perSecond) % perSecond
  const seconds = (value - fraction) / perSecond
  if (type.startsWith('TIME') && !type.startsWith('TIMESTAMP')) {
    if (seconds === 86_400n) return '24:00:00'
    return isoTime(seconds, fraction, digits).slice(11)
  }
  return isoTime(seconds, fraction, digits) + (zoned ? 'Z' : '')
}

/** By JavaScript's own calendar, shifted by whole eras of 400 years where that has no dates. */
function isoTime(seconds: bigint, fraction: bigint, digits: number): string {
  const era = 146_097n * 86_400n
  const eras = seconds >= 0n ? seconds / era : -((-seconds + era - 1n) / era)
  const date = new Date(Number(seconds - eras * era) * 1000)
  const year = date.getUTCFullYear() + Number(eras) * 400
  const size = Math.abs(year)
  const years =
    year >= 0 && year <= 9999 ? `${year}`.padStart(4, '0') : `${year < 0 ? '-' : '+'}${`${size}`.padStart(6, '0')}`
  const parts = `${fraction}`.padStart(digits, '0')
  const trimmed = fraction === 0n ? '' : `.${parts.replace(/(?<=^(?:\d{3})+)(?:000)+$/, '')}`
  return `${years}${date.toISOString().slice(4, 19)}${trimmed}`
}

test('an offset begins a body of its own', async t => {
  const { query, columns, rows, rowCount } = await resultOf(
    t,
    "SELECT range::INTEGER AS n, 'x' || range AS s FROM range(100000)",
  )
  const offset = 99_990
  t.deepEqual(fieldsOf((await body(query, 'csv', columns, rowCount, offset)).toString()), [
    ['n', 's'],
    ...rows.slice(offset).map(([n, s]) => [`${n}`, `${s}`]),
  ])
  const table = tableFromIPC(await body(query, 'arrow', columns, rowCount, offset))
  t.deepEqual(
    [...(table.getChild('n') ?? [])],
    rows.slice(offset).map(([n]) => n),
  )
})

test('a decimal that is no number, as other engines have it, is NULL in Arrow', async t => {
  const query = await ownedQuery(t)
  const columns = [{ name: 'd', type: 'DECIMAL(10,2)' }]
  const pages = await encoded([[['1.50'], ['NaN'], [null], ['-0.01']]])
  const { rowCount } = await written(query, pages)
  const table = tableFromIPC(await body(query, 'arrow', columns, rowCount))
  const column = table.getChild('d') as Vector
  t.deepEqual([column.isValid(0), column.isValid(1), column.isValid(2), column.isValid(3)], [true, false, false, true])
  t.is(column.nullCount, 2)
})
