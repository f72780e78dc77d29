/** Every type of DuckDB on the wire: extremes by hand, and thousands of values against DuckDB's own texts. */
import test from 'ava'
import type { WireValue } from '../../src/domain/index.ts'
import { query } from '../conformance/engines.ts'
import { openDuckDb } from './support.ts'

const ducks = '🦆🦆🦆🦆🦆🦆'
const lists = [42, 999, null, null, -42]

/** Minimum, maximum (or two telling values) and NULL of every column of `test_all_types()`. */
const extremes: Readonly<Record<string, readonly [type: string, ...values: WireValue[]]>> = {
  bool: ['BOOLEAN', false, true],
  tinyint: ['TINYINT', -128, 127],
  smallint: ['SMALLINT', -32768, 32767],
  int: ['INTEGER', -2147483648, 2147483647],
  bigint: ['BIGINT', '-9223372036854775808', '9223372036854775807'],
  hugeint: ['HUGEINT', '-170141183460469231731687303715884105728', '170141183460469231731687303715884105727'],
  uhugeint: ['UHUGEINT', '0', '340282366920938463463374607431768211455'],
  utinyint: ['UTINYINT', 0, 255],
  usmallint: ['USMALLINT', 0, 65535],
  uint: ['UINTEGER', 0, 4294967295],
  ubigint: ['UBIGINT', '0', '18446744073709551615'],
  bignum: ['BIGNUM', `${-(2n ** 1024n - 2n ** 971n)}`, `${2n ** 1024n - 2n ** 971n}`],
  date: ['DATE', '-5877641-06-25', '+5881580-07-10'],
  time: ['TIME', '00:00:00', '24:00:00'],
  timestamp: ['TIMESTAMP', '-290308-12-22T00:00:00', '+294247-01-10T04:00:54.775806'],
  timestamp_s: ['TIMESTAMP_S', '-290308-12-22T00:00:00', '+294247-01-10T04:00:54'],
  timestamp_ms: ['TIMESTAMP_MS', '-290308-12-22T00:00:00', '+294247-01-10T04:00:54.775'],
  timestamp_ns: ['TIMESTAMP_NS', '1677-09-22T00:00:00', '2262-04-11T23:47:16.854775806'],
  time_tz: ['TIME WITH TIME ZONE', '00:00:00+15:59:59', '24:00:00-15:59:59'],
  timestamp_tz: ['TIMESTAMP WITH TIME ZONE', '-290308-12-22T00:00:00Z', '+294247-01-10T04:00:54.775806Z'],
  float: ['FLOAT', -3.4028235e38, 3.4028235e38],
  double: ['DOUBLE', -Number.MAX_VALUE, Number.MAX_VALUE],
  dec_4_1: ['DECIMAL(4,1)', '-999.9', '999.9'],
  dec_9_4: ['DECIMAL(9,4)', '-99999.9999', '99999.9999'],
  dec_18_6: ['DECIMAL(18,6)', '-999999999999.999999', '999999999999.999999'],
  dec38_10: ['DECIMAL(38,10)', '-9999999999999999999999999999.9999999999', '9999999999999999999999999999.9999999999'],
  uuid: ['UUID', '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
  interval: ['INTERVAL', 'PT0S', 'P83Y3M999DT16M39.999999S'],
  varchar: ['VARCHAR', ducks, 'goo\0se'],
  blob: ['BLOB', Buffer.from('thisisalongblob\0withnullbytes').toString('base64'), 'AAAAYQ=='],
  bit: ['BIT', '0010001001011100010101011010111', '10101'],
  small_enum: ["ENUM('DUCK_DUCK_ENUM', 'GOOSE')", 'DUCK_DUCK_ENUM', 'GOOSE'],
  large_enum: ["ENUM('enum_0', 'enum_69999')", 'enum_0', 'enum_69999'],
  int_array: ['INTEGER[]', [], lists],
  double_array: ['DOUBLE[]', [], [42, 'NaN', 'Infinity', '-Infinity', null, -42]],
  date_array: ['DATE[]', [], ['1970-01-01', 'infinity', '-infinity', null, '2022-05-12']],
  timestamp_array: ['TIMESTAMP[]', [], ['1970-01-01T00:00:00', 'infinity', '-infinity', null, '2022-05-12T16:23:45']],
  timestamptz_array: [
    'TIMESTAMP WITH TIME ZONE[]',
    [],
    ['1970-01-01T00:00:00Z', 'infinity', '-infinity', null, '2022-05-12T23:23:45Z'],
  ],
  varchar_array: ['VARCHAR[]', [], [ducks, 'goose', null, '']],
  nested_int_array: ['INTEGER[][]', [], [[], lists, null, [], lists]],
  struct: ['STRUCT("a" INTEGER, "b" VARCHAR)', { a: null, b: null }, { a: 42, b: ducks }],
  struct_of_arrays: [
    'STRUCT("a" INTEGER[], "b" VARCHAR[])',
    { a: null, b: null },
    { a: lists, b: [ducks, 'goose', null, ''] },
  ],
  array_of_structs: ['STRUCT("a" INTEGER, "b" VARCHAR)[]', [], [{ a: null, b: null }, { a: 42, b: ducks }, null]],
  map: [
    'MAP(VARCHAR, VARCHAR)',
    [],
    [
      ['key1', ducks],
      ['key2', 'goose'],
    ],
  ],
  union: ['UNION("name" VARCHAR, "age" SMALLINT)', 'Frank', 5],
  fixed_int_array: ['INTEGER[3]', [null, 2, 3], [4, 5, 6]],
  fixed_varchar_array: ['VARCHAR[3]', ['a', null, 'c'], ['d', 'e', 'f']],
  struct_of_fixed_array: [
    'STRUCT("a" INTEGER[3], "b" VARCHAR[3])',
    { a: [null, 2, 3], b: ['a', null, 'c'] },
    { a: [4, 5, 6], b: ['d', 'e', 'f'] },
  ],
  list_of_fixed_int_array: [
    'INTEGER[3][]',
    [
      [null, 2, 3],
      [4, 5, 6],
      [null, 2, 3],
    ],
    [
      [4, 5, 6],
      [null, 2, 3],
      [4, 5, 6],
    ],
  ],
  time_ns: ['TIME_NS', '00:00:00', '24:00:00'],
}

test('the extremes of every type, and NULL', async t => {
  const { driver } = await openDuckDb(t, {})
  const names = Object.keys(extremes)
  const { columns, rows } = await query(
    driver,
    `SELECT ${names.map(name => `"${name}"`).join(', ')} FROM test_all_types()`,
  )
  t.is(rows.length, 3)
  names.forEach((name, index) => {
    const [type, ...values] = extremes[name] ?? ['']
    t.deepEqual(columns[index], { name, type })
    t.deepEqual(
      rows.map(row => row[index]),
      [...values, null],
      name,
    )
  })
})

test('what test_all_types() does not have', async t => {
  const { driver } = await openDuckDb(t, {})
  const cases: readonly (readonly [string, WireValue])[] = [
    ['\'{"a": 1}\'::JSON', '{"a": 1}'],
    ['NULL', null],
    ['MAP {[1, 2]: NULL}', [[[1, 2], null]]],
    ["{'a': 1, 'b': [2]}::VARIANT", { a: 1, b: [2] }],
    ["'x\"y\\z' || chr(1) || chr(10) || chr(9) || chr(13) || 'ä€🦆'", 'x"y\\z\u0001\n\t\rä€🦆'],
    ["'exactly12byt'", 'exactly12byt'],
    ["'thirteen byte'", 'thirteen byte'],
    ["''", ''],
    ["''::BLOB", ''],
    ['0.1::FLOAT', 0.1],
    ['16777217::FLOAT', 16777216],
    ['-1e-45::FLOAT', -1e-45],
    ['0.1::DOUBLE', 0.1],
    ["'-0'::DOUBLE", -0],
    ['1e15::DOUBLE', 1e15],
    ["'nan'::FLOAT", 'NaN'],
    ["'-inf'::DOUBLE", '-Infinity'],
    ['0::DECIMAL(38, 38)', '0.00000000000000000000000000000000000000'],
    ['-0.5::DECIMAL(18, 17)', '-0.50000000000000000'],
    ['7::DECIMAL(18, 0)', '7'],
    ['-9007199254740993::BIGINT', '-9007199254740993'],
    ['-4294967296::BIGINT', '-4294967296'],
    ["INTERVAL '1 year -2 months 3 days 04:05:06.789'", 'P10M3DT4H5M6.789S'],
    ["INTERVAL '-13 months -1 day -0.5 seconds'", 'P-1Y-1M-1DT-0.5S'],
    ["DATE '0044-03-15 (BC)'", '-000043-03-15'],
    ["DATE '10000-01-01'", '+010000-01-01'],
    ["DATE '1900-03-01'", '1900-03-01'],
    ["DATE '2000-02-29'", '2000-02-29'],
    ["TIMESTAMP '1969-12-31 23:59:59.999999'", '1969-12-31T23:59:59.999999'],
    ["TIMESTAMP '2024-01-01 00:00:00.5'", '2024-01-01T00:00:00.500'],
    ["TIMESTAMPTZ '2024-01-01 00:00:00+02'", '2023-12-31T22:00:00Z'],
    ["TIMETZ '12:34:56.789-03:30'", '12:34:56.789-03:30'],
    ["'00'::BIT", '00'],
    ["'a'::ENUM('a', 'it\"s')", 'a'],
  ]
  const { rows } = await query(driver, `SELECT ${cases.map(([sql]) => sql).join(', ')}`)
  cases.forEach(([sql, expected], index) => {
    t.deepEqual(rows[0]?.[index], expected, sql)
  })
})

/** Expressions over the row number `i` and a hash `h` of it, whose texts DuckDB and the wire share but for punctuation. */
const generated: Readonly<Record<string, string>> = {
  TINYINT: '(h % 256)::INTEGER - 128',
  INTEGER: '(h % 4294967296)::BIGINT - 2147483648',
  UINTEGER: 'h % 4294967296',
  BIGINT: '((h::HUGEINT - 9223372036854775808) >> (i % 63))',
  UBIGINT: 'h >> (i % 64)',
  HUGEINT: '(h::HUGEINT - 9223372036854775808) * (hash(h) >> (i % 64 + 1))',
  'DECIMAL(4,2)': '((h % 20000)::INTEGER - 10000) / 101',
  'DECIMAL(9,9)': '((h % 2000000000)::BIGINT - 1000000000) / 1000000001',
  'DECIMAL(18,3)': '((h >> 12)::BIGINT - (1::BIGINT << 51)) / 17',
  'DECIMAL(38,15)': '(h::HUGEINT - 9223372036854775808) / 1000000007',
  DATE: "DATE '1970-01-01' + ((h % 4000000)::INTEGER - 1000000)",
  TIMESTAMP: 'make_timestamp((h % 400000000000000000)::BIGINT - 100000000000000000)',
  TIMESTAMP_MS: 'make_timestamp((h % 200000000000000)::BIGINT * 1000)',
  TIMESTAMP_NS: 'make_timestamp_ns((h % 8000000000000000000)::BIGINT)',
  TIMESTAMPTZ: 'make_timestamp((h % 200000000000000000)::BIGINT)',
  TIME: "TIME '00:00:00' + to_microseconds((h % 86400000000)::BIGINT)",
  UUID: 'uuid()',
  VARCHAR: 'repeat(chr((h % 50000)::INTEGER + 32), (i % 30)::INTEGER)',
  DOUBLE: '(h::DOUBLE - 9e18) / power(10, i % 300)',
}

test('thousands of values of each type are as DuckDB itself writes them', async t => {
  const { driver } = await openDuckDb(t, {})
  for (const [type, expression] of Object.entries(generated)) {
    const { rows } = await query(
      driver,
      `SELECT v, v::VARCHAR FROM (SELECT CASE WHEN i % 11 = 3 THEN NULL ELSE (${expression})::${type} END AS v FROM (SELECT range AS i, hash(range) AS h FROM range(5000)))`,
    )
    t.is(rows.length, 5000)
    for (const [wire, text] of rows) {
      if (typeof wire === 'number') t.is(wire, Number(text), type)
      else if (plain(wire) !== plain(text)) t.is(plain(wire), plain(text), type)
    }
  }
})

test('FLOAT values are the shortest that give the same number', async t => {
  const { driver } = await openDuckDb(t, {})
  const { rows } = await query(
    driver,
    'SELECT v, v::DOUBLE FROM (SELECT ((hash(range)::DOUBLE - 9e18) / power(10, range % 50))::FLOAT AS v FROM range(5000))',
  )
  for (const [single, double] of rows) {
    t.is(Math.fround(single as number), double as number)
    t.true(`${single}`.length <= `${double}`.length)
  }
})

/** Without what ISO 8601 writes otherwise than DuckDB does. */
function plain(value: WireValue | undefined): string | null {
  if (value === null || value === undefined) return null
  const text = `${value}`
  const bc = /^(?:-(\d{6})|(0000))-(\d\d-\d\d)(.*)$/.exec(text)
  const dated = bc
    ? `${`${Number(bc[1] ?? 0) + 1}`.padStart(4, '0')}-${bc[3]} (BC)${bc[4]}`
    : text.replace(/^\+0*(\d{5,}-)/, '$1')
  if (!/\d:\d\d/.test(dated)) return dated.replace(/^(-?)\./, '$10.')
  return dated
    .replace('T', ' ')
    .replace(/(\.\d*?)0+(?=\D|$)/, '$1')
    .replace(/\.(?=\D|$)/, '')
    .replace(/\+00$/, 'Z')
}

test('many rows of many columns, with and without NULLs, across chunks', async t => {
  const { driver } = await openDuckDb(t, {})
  const { rows } = await query(
    driver,
    "SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE i END, [i, NULL, i + 1], {a: i::VARCHAR, b: [i]}, repeat('x', i % 40) FROM (SELECT range::INTEGER AS i FROM range(20000))",
  )
  t.is(rows.length, 20_000)
  rows.forEach((row, i) => {
    const expected = [i, i % 3 === 0 ? null : i, [i, null, i + 1], { a: `${i}`, b: [i] }, 'x'.repeat(i % 40)]
    if (JSON.stringify(row) !== JSON.stringify(expected)) t.deepEqual(row, expected)
  })
})

test('values far larger than a batch', async t => {
  const { driver } = await openDuckDb(t, {})
  const { rows } = await query(
    driver,
    "SELECT repeat('ä\"', 3000000) AS long, range AS n, list_transform(range(200000), lambda x: x) FROM range(2)",
  )
  t.deepEqual(
    rows.map(([long, n, list]) => [
      (long as string).length,
      n,
      (list as WireValue[]).length,
      (list as WireValue[])[199_999],
    ]),
    [
      [6_000_000, '0', 200_000, '199999'],
      [6_000_000, '1', 200_000, '199999'],
    ],
  )
  t.is(rows[1]?.[0], 'ä"'.repeat(3_000_000))
})
