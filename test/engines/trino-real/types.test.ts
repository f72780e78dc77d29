/** Every type of Trino on its way to a client. */
import test from 'ava'
import { query } from '../../conformance/engines.ts'
import { openTrino } from '../trino-support.ts'
import { realTrino } from './server.ts'

const server = realTrino()

/** SQL, the type's name on the wire, the value. */
const values: readonly (readonly [string, string, unknown])[] = [
  ['true', 'BOOLEAN', true],
  ["TINYINT '-128'", 'TINYINT', -128],
  ["SMALLINT '32767'", 'SMALLINT', 32767],
  ['2147483647', 'INTEGER', 2147483647],
  ["BIGINT '9223372036854775807'", 'BIGINT', '9223372036854775807'],
  ["REAL '1.5'", 'FLOAT', 1.5],
  ["DOUBLE '-2.5E-3'", 'DOUBLE', -0.0025],
  ['nan()', 'DOUBLE', 'NaN'],
  ['-infinity()', 'DOUBLE', '-Infinity'],
  ["DECIMAL '12345678901234567890.123'", 'DECIMAL(23,3)', '12345678901234567890.123'],
  ["'it''s „text“'", 'VARCHAR', "it's „text“"],
  ["CAST('ab' AS char(4))", 'VARCHAR', 'ab  '],
  ["X'00FF'", 'BLOB', 'AP8='],
  [`JSON '{"a": [1, null]}'`, 'JSON', '{"a":[1,null]}'],
  ["DATE '2024-02-29'", 'DATE', '2024-02-29'],
  ["TIME '10:11:12'", 'TIME', '10:11:12'],
  ["TIME '10:11:12.123456'", 'TIME', '10:11:12.123456'],
  ["TIME '10:11:12.5 +02:00'", 'TIME WITH TIME ZONE', '10:11:12.5+02:00'],
  ["TIMESTAMP '2024-02-29 10:11:12'", 'TIMESTAMP', '2024-02-29T10:11:12'],
  ["TIMESTAMP '2024-02-29 10:11:12.5'", 'TIMESTAMP', '2024-02-29T10:11:12.500'],
  ["TIMESTAMP '2024-02-29 10:11:12.123456789'", 'TIMESTAMP_NS', '2024-02-29T10:11:12.123456789'],
  ["TIMESTAMP '2024-02-29 10:11:12.123456789012'", 'TIMESTAMP(12)', '2024-02-29T10:11:12.123456789012'],
  ["TIMESTAMP '2024-07-01 10:11:12.5 Europe/Berlin'", 'TIMESTAMP WITH TIME ZONE', '2024-07-01T08:11:12.500Z'],
  ["TIMESTAMP '0001-01-01 00:00:00 +01:00'", 'TIMESTAMP WITH TIME ZONE', '0000-12-31T23:00:00Z'],
  ["INTERVAL '3' DAY", 'INTERVAL', '3 00:00:00.000'],
  ["INTERVAL '2' MONTH", 'INTERVAL', '0-2'],
  ['ARRAY[1, NULL]', 'INTEGER[]', [1, null]],
  ["ARRAY[ARRAY[BIGINT '1'], ARRAY[]]", 'BIGINT[][]', [['1'], []]],
  ["MAP(ARRAY['k', 'l'], ARRAY[DATE '2024-01-01', NULL])", 'MAP(VARCHAR, DATE)', { k: '2024-01-01', l: null }],
  ["MAP(ARRAY[BIGINT '1'], ARRAY[2])", 'MAP(BIGINT, INTEGER)', { 1: 2 }],
  ["CAST(ROW(1, 'x') AS row(a integer, b varchar))", 'STRUCT(a INTEGER, b VARCHAR)', { a: 1, b: 'x' }],
  ["ROW(1, BIGINT '2')", 'STRUCT(field0 INTEGER, field1 BIGINT)', { field0: 1, field1: '2' }],
  ["UUID '12151fd2-7586-11e9-8f9e-2a86e4085a59'", 'UUID', '12151fd2-7586-11e9-8f9e-2a86e4085a59'],
  ["IPADDRESS '::1'", 'ipaddress', '::1'],
  ['NULL', '"NULL"', null],
]

test('every type has a name that clients know, and every value its form', async t => {
  const driver = await openTrino(t, server.url)
  const columns = values.map(([sql], index) => `${sql} AS c${index}`)
  const { columns: found, rows } = await query(driver, `SELECT ${columns.join(', ')}`)
  for (const [index, [sql, type, value]] of values.entries()) {
    t.is(found[index]?.type, type, sql)
    t.deepEqual(rows[0]?.[index], value as never, sql)
  }
})

test('parameters come as what they are', async t => {
  const driver = await openTrino(t, server.url)
  const { rows } = await query(driver, 'SELECT ?, ?, ?, ?, ?, CAST(? AS bigint)', [
    ...[true, 1.5, "it's", null, '9223372036854775807', '9223372036854775807'],
  ])
  t.deepEqual(rows, [[true, 1.5, "it's", null, '9223372036854775807', '9223372036854775807']])
})
