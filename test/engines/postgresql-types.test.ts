/** PostgreSQL's types on the wire, and values of the wire as its parameters. */
import test from 'ava'
import type { WireValue } from '../../src/domain/index.ts'
import { collect, failureOf, query, request } from '../conformance/engines.ts'
import { postgresDatabases } from '../support/postgresql.ts'
import { openPostgreSql, sqlAt } from './postgresql-support.ts'

const databases = postgresDatabases(test)

/** Expression, the column's type, its value. */
const cases: readonly (readonly [string, string, WireValue])[] = [
  ['true', 'BOOLEAN', true],
  ['false', 'BOOLEAN', false],
  ['NULL::boolean', 'BOOLEAN', null],
  ['(-32768)::smallint', 'SMALLINT', -32768],
  ['2147483647', 'INTEGER', 2147483647],
  ['9223372036854775807', 'BIGINT', '9223372036854775807'],
  ['1::bigint', 'BIGINT', '1'],
  ['4294967295::oid', 'UINTEGER', 4294967295],
  ['1.50', 'DECIMAL', '1.50'],
  ['1.5::numeric(10, 3)', 'DECIMAL(10,3)', '1.500'],
  ['123::numeric(38)', 'DECIMAL(38,0)', '123'],
  ['123::numeric(40)', 'DECIMAL', '123'],
  ['1234::numeric(3, -2)', 'DECIMAL', '1200'],
  ['0.001::numeric(2, 3)', 'DECIMAL', '0.001'],
  ["'NaN'::numeric", 'DECIMAL', 'NaN'],
  ["'-Infinity'::numeric", 'DECIMAL', '-Infinity'],
  ['1e100::numeric', 'DECIMAL', `1${'0'.repeat(100)}`],
  ['0.1::real', 'FLOAT', 0.1],
  ["'NaN'::real", 'FLOAT', 'NaN'],
  ['0.1::float8 + 0.2::float8', 'DOUBLE', 0.1 + 0.2],
  ['1.7976931348623157e308::float8', 'DOUBLE', Number.MAX_VALUE],
  ["'-0'::float8", 'DOUBLE', -0],
  ['1e20::float8', 'DOUBLE', 1e20],
  ["'Infinity'::float8", 'DOUBLE', 'Infinity'],
  ["'-Infinity'::float8", 'DOUBLE', '-Infinity'],
  [`'x"y\\z' || chr(1) || chr(10) || chr(9) || 'ä€🦆'`, 'VARCHAR', 'x"y\\z\u0001\n\tä€🦆'],
  ["''", 'VARCHAR', ''],
  ["'ab'::char(4)", 'VARCHAR', 'ab  '],
  ["'ab'::varchar(3)", 'VARCHAR', 'ab'],
  ["'a'::name", 'VARCHAR', 'a'],
  ["'\\x00ff10'::bytea", 'BLOB', 'AP8Q'],
  ["''::bytea", 'BLOB', ''],
  ["'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", 'UUID', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
  [`'{"a": 1,  "a": 2}'::json`, 'JSON', '{"a": 1,  "a": 2}'],
  [`'{"b": 1, "a": [1, null]}'::jsonb`, 'JSON', '{"a": [1, null], "b": 1}'],
  ["DATE '2024-02-29'", 'DATE', '2024-02-29'],
  ["DATE '10000-01-01'", 'DATE', '+010000-01-01'],
  ["DATE '0044-03-15 BC'", 'DATE', '-000043-03-15'],
  ["DATE '0001-01-01 BC'", 'DATE', '0000-01-01'],
  ["DATE 'infinity'", 'DATE', 'infinity'],
  ["TIME '12:34:56'", 'TIME', '12:34:56'],
  ["TIME '12:34:56.5'", 'TIME', '12:34:56.500'],
  ["TIME '24:00:00'", 'TIME', '24:00:00'],
  ["TIMETZ '12:34:56.789-03:30'", 'TIME WITH TIME ZONE', '12:34:56.789-03:30'],
  ["TIMETZ '12:34:56+01'", 'TIME WITH TIME ZONE', '12:34:56+01:00'],
  ["TIMESTAMP '2024-01-01 00:00:00.5'", 'TIMESTAMP', '2024-01-01T00:00:00.500'],
  ["TIMESTAMP '1969-12-31 23:59:59.999999'", 'TIMESTAMP', '1969-12-31T23:59:59.999999'],
  ["TIMESTAMP '4713-01-01 00:00:00 BC'", 'TIMESTAMP', '-004712-01-01T00:00:00'],
  ["TIMESTAMP '-infinity'", 'TIMESTAMP', '-infinity'],
  ["TIMESTAMPTZ '2024-01-01 00:00:00.25+02'", 'TIMESTAMP WITH TIME ZONE', '2023-12-31T22:00:00.250Z'],
  ["TIMESTAMPTZ '2024-01-01 00:00:00Z'", 'TIMESTAMP WITH TIME ZONE', '2024-01-01T00:00:00Z'],
  ["TIMESTAMPTZ '294276-12-31 23:59:59Z'", 'TIMESTAMP WITH TIME ZONE', '+294276-12-31T23:59:59Z'],
  ["INTERVAL '0'", 'INTERVAL', 'PT0S'],
  ["INTERVAL '1 year -2 months 3 days 04:05:06.789'", 'INTERVAL', 'P10M3DT4H5M6.789S'],
  ["INTERVAL '-13 months -1 day -0.5 seconds'", 'INTERVAL', 'P-1Y-1M-1DT-0.5S'],
  ["B'0101'", 'BIT', '0101'],
  ['ARRAY[1, NULL, -3]', 'INTEGER[]', [1, null, -3]],
  ['ARRAY[1, 9007199254740993]::bigint[]', 'BIGINT[]', ['1', '9007199254740993']],
  ["'{}'::integer[]", 'INTEGER[]', []],
  [
    'ARRAY[[1, 2], [3, 4]]',
    'INTEGER[]',
    [
      [1, 2],
      [3, 4],
    ],
  ],
  ["'[0:1]={5,6}'::integer[]", 'INTEGER[]', [5, 6]],
  [
    `ARRAY['a"b', 'c\\d', 'NULL', '', ' e ', '{f,g}', NULL]`,
    'VARCHAR[]',
    ['a"b', 'c\\d', 'NULL', '', ' e ', '{f,g}', null],
  ],
  ["ARRAY[1.5, 'NaN']::numeric(4, 2)[]", 'DECIMAL(4,2)[]', ['1.50', 'NaN']],
  ["ARRAY[TIMESTAMPTZ '2024-01-01 00:00:00+02']", 'TIMESTAMP WITH TIME ZONE[]', ['2023-12-31T22:00:00Z']],
  ["ARRAY['\\x00'::bytea]", 'BLOB[]', ['AA==']],
  [`ARRAY['{"a": 1}'::jsonb]`, 'JSON[]', ['{"a": 1}']],
  ["ARRAY['(1,2),(0,0)'::box, '(3,4),(1,1)'::box]", 'BOX[]', ['(1,2),(0,0)', '(3,4),(1,1)']],
  ["'127.0.0.1/8'::inet", 'INET', '127.0.0.1/8'],
  ["'[1,5)'::int4range", 'INT4RANGE', '[1,5)'],
  ["'sad'::mood", 'mood', 'sad'],
  ["ARRAY['sad', 'happy']::mood[]", 'mood[]', ['sad', 'happy']],
  ["ROW(1, 'a')::pair", 'pair', '(1,a)'],
  ['7::positive', 'INTEGER', 7],
  ['1.25::price', 'DECIMAL(8,2)', '1.25'],
  ['ARRAY[7]::positive[]', 'INTEGER[]', [7]],
]

async function open(t: Parameters<typeof openPostgreSql>[0]) {
  const url = await databases.create()
  await sqlAt(
    url,
    `CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TYPE pair AS (a integer, b text);
     CREATE DOMAIN positive AS integer CHECK (VALUE > 0); CREATE DOMAIN price AS numeric(8, 2)`,
  )
  return openPostgreSql(t, url)
}

test('the form of every value follows its column’s type', async t => {
  const { driver } = await open(t)
  const { columns, rows } = await query(
    driver,
    `SELECT ${cases.map(([sql], index) => `${sql} AS c${index}`).join(', ')}`,
  )
  cases.forEach(([sql, type, value], index) => {
    t.deepEqual([columns[index]?.type, rows[0]?.[index]], [type, value], sql)
  })
})

test('columns that bear one name are kept apart, and a row may have none', async t => {
  const { driver } = await open(t)
  t.deepEqual(await query(driver, 'SELECT 1 AS a, 2 AS a'), {
    columns: [
      { name: 'a', type: 'INTEGER' },
      { name: 'a', type: 'INTEGER' },
    ],
    rows: [[1, 2]],
  })
  t.deepEqual(await query(driver, 'SELECT FROM generate_series(1, 2)'), { columns: [], rows: [[], []] })
})

test('points in time are in UTC in whatever zone the session computes', async t => {
  const { driver } = await open(t)
  for (const [zone, text] of [
    ['Asia/Kolkata', '2024-01-01T05:30:00'],
    ['America/St_Johns', '2023-12-31T20:30:00'],
  ] as const) {
    const sql =
      "SELECT TIMESTAMPTZ '2024-01-01 00:00:00.125Z' AS at, TIMESTAMPTZ '2024-01-01 00:00:00Z'::timestamp AS here"
    const run = await driver.submit(request(sql, { properties: { timezone: zone } }), async () => {})
    t.deepEqual((await collect(run)).rows, [['2024-01-01T00:00:00.125Z', text]])
  }
})

test('parameters are read as the types that the statement wants', async t => {
  const { driver } = await open(t)
  const types = [
    ['integer', 5, 5],
    ['bigint', '9223372036854775807', '9223372036854775807'],
    ['bigint', 7, '7'],
    ['numeric', '0.10', '0.10'],
    ['float8', 1.5, 1.5],
    ['float8', 'NaN', 'NaN'],
    ['boolean', true, true],
    ['text', 'it\'s \\ "quoted"', 'it\'s \\ "quoted"'],
    ['text', 42, '42'],
    ['bytea', 'AP8Q', 'AP8Q'],
    ['bytea', '\\x00ff10', 'AP8Q'],
    ['jsonb', { a: [1, null, 'x'] }, '{"a": [1, null, "x"]}'],
    ['jsonb', '{"a": 1}', '{"a": 1}'],
    ['jsonb', [1, 2], '[1, 2]'],
    ['integer[]', [1, null, 3], [1, null, 3]],
    [
      'integer[]',
      [
        [1, 2],
        [3, 4],
      ],
      [
        [1, 2],
        [3, 4],
      ],
    ],
    ['text[]', ['a"b', 'c\\d', 'NULL', '', null, '{x}'], ['a"b', 'c\\d', 'NULL', '', null, '{x}']],
    ['jsonb[]', [{ a: 1 }, [2]], ['{"a": 1}', '[2]']],
    ['timestamptz', '2024-01-01T00:00:00.250Z', '2024-01-01T00:00:00.250Z'],
    ['timestamp', '2024-01-01T00:00:00', '2024-01-01T00:00:00'],
    ['date', '2024-02-29', '2024-02-29'],
    ['interval', 'P1Y2M3DT4H5M6.500S', 'P1Y2M3DT4H5M6.5S'],
    ['uuid', 'B0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
    ['mood', 'happy', 'happy'],
    ['mood[]', ['happy', 'sad'], ['happy', 'sad']],
    ['positive', 3, 3],
  ] as const satisfies readonly (readonly [string, WireValue, WireValue])[]
  const { rows } = await query(
    driver,
    `SELECT ${types.map(([type], index) => `$${index + 1}::${type}`).join(', ')}`,
    types.map(([, value]) => value as WireValue),
  )
  types.forEach(([type, given, value], index) => {
    t.deepEqual(rows[0]?.[index], value as WireValue, `${type} of ${JSON.stringify(given)}`)
  })
  t.is((await failureOf(() => query(driver, 'SELECT $1::text', ['a\0b']))).failure, 'sql-invalid')
  t.is((await failureOf(() => query(driver, 'SELECT $1::integer', ['abc']))).failure, 'failed')
})
