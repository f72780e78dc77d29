/** MySQL's types on the wire, values of the wire as its parameters, and tables as they are listed. */
import test, { type ExecutionContext } from 'ava'
import type { WireValue } from '../../src/domain/index.ts'
import { collect, failureOf, query, request, submit } from '../conformance/engines.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { openMySql, sqlAt } from './mysql-support.ts'

const databases = mysqlDatabases(test)

/** A column's type in the server's words, and in ours; a value as SQL writes it, and as the wire does. */
const cases: readonly (readonly [string, string, string, WireValue])[] = [
  ['tinyint', 'TINYINT', '-128', -128],
  ['tinyint unsigned', 'UTINYINT', '255', 255],
  ['smallint', 'SMALLINT', '-32768', -32768],
  ['smallint unsigned', 'USMALLINT', '65535', 65535],
  ['mediumint', 'INTEGER', '-8388608', -8388608],
  ['int', 'INTEGER', '-2147483648', -2147483648],
  ['int unsigned', 'UINTEGER', '4294967295', 4294967295],
  ['bigint', 'BIGINT', '-9223372036854775808', '-9223372036854775808'],
  ['bigint', 'BIGINT', '1', '1'],
  ['bigint unsigned', 'UBIGINT', '18446744073709551615', '18446744073709551615'],
  ['year', 'SMALLINT', '2024', 2024],
  ['decimal(10,2)', 'DECIMAL(10,2)', '-12.5', '-12.50'],
  [
    'decimal(38,0)',
    'DECIMAL(38,0)',
    '12345678901234567890123456789012345678',
    '12345678901234567890123456789012345678',
  ],
  ['decimal(10,4) unsigned', 'DECIMAL(10,4)', '1.5', '1.5000'],
  ['decimal(65,30)', 'DECIMAL', '1', `1.${'0'.repeat(30)}`],
  ['float', 'FLOAT', '0.1', 0.1],
  ['float', 'FLOAT', '16777216', 16777216],
  ['double', 'DOUBLE', '0.1', 0.1],
  ['double', 'DOUBLE', '1.7976931348623157e308', Number.MAX_VALUE],
  ['date', 'DATE', "'2024-02-29'", '2024-02-29'],
  ['time', 'TIME', "'-838:59:59'", '-838:59:59'],
  ['time(3)', 'TIME', "'12:34:56.5'", '12:34:56.500'],
  ['datetime', 'TIMESTAMP', "'2024-01-02 03:04:05'", '2024-01-02T03:04:05'],
  ['datetime(1)', 'TIMESTAMP', "'2024-01-02 03:04:05.6'", '2024-01-02T03:04:05.600'],
  ['datetime(6)', 'TIMESTAMP', "'1000-01-01 00:00:00.000001'", '1000-01-01T00:00:00.000001'],
  ['timestamp', 'TIMESTAMP WITH TIME ZONE', 'FROM_UNIXTIME(1704164645)', '2024-01-02T03:04:05Z'],
  ['timestamp(6)', 'TIMESTAMP WITH TIME ZONE', 'FROM_UNIXTIME(0.25 + 1704164645)', '2024-01-02T03:04:05.250000Z'],
  ['char(4)', 'VARCHAR', "'ab'", 'ab'],
  ['varchar(100)', 'VARCHAR', `'x"y\\\\z\\n\\t\u0001ä€🦆'`, 'x"y\\z\n\t\u0001ä€🦆'],
  ['varchar(100)', 'VARCHAR', "''", ''],
  ['varchar(20) CHARACTER SET latin1', 'VARCHAR', "'grün'", 'grün'],
  ['longtext', 'VARCHAR', "REPEAT('a', 100000)", 'a'.repeat(100_000)],
  ["enum('sad','happy')", 'VARCHAR', "'happy'", 'happy'],
  ["set('a','b','c')", 'VARCHAR', "'a,c'", 'a,c'],
  ['binary(3)', 'BLOB', "X'00FF10'", 'AP8Q'],
  ['varbinary(10)', 'BLOB', "''", ''],
  ['longblob', 'BLOB', "X'00FF10'", 'AP8Q'],
  ['bit(1)', 'BIT', "b'1'", '1'],
  ['bit(10)', 'BIT', "b'101'", '0000000101'],
]

async function open(t: ExecutionContext) {
  const url = await databases.create(t)
  const columns = cases.map(([type], index) => `c${index} ${type} NULL`)
  await sqlAt(
    url,
    `CREATE TABLE things (${columns.join(', ')}) CHARACTER SET utf8mb4;
     INSERT INTO things VALUES (${cases.map(([, , value]) => value).join(', ')});
     INSERT INTO things (c0) VALUES (NULL)`,
  )
  return openMySql(t, url)
}

test('the form of every value follows its column’s type', async t => {
  const { driver } = await open(t)
  const { columns, rows } = await query(driver, 'SELECT * FROM things')
  cases.forEach(([sql, type, , value], index) => {
    t.deepEqual([columns[index]?.type, rows[0]?.[index]], [type, value], sql)
  })
  t.deepEqual(
    rows[1],
    cases.map(() => null),
  )
})

test('a table is listed, and a statement prepared, with the types that its rows have', async t => {
  const { driver } = await open(t)
  const columns = cases.map(([, type], index) => ({ name: `c${index}`, type }))
  t.deepEqual((await driver.tables()).find(({ name }) => name === 'things')?.columns, columns)
  t.deepEqual((await driver.prepare(request('SELECT * FROM things'))).columns, columns)
})

test('values are parameters, whatever they are, and never text of the statement', async t => {
  const { driver } = await open(t)
  const one = async (sql: string, ...parameters: WireValue[]) => (await query(driver, sql, parameters)).rows[0]?.[0]
  t.is(await one('SELECT ?', "'; DROP TABLE things; -- \\'"), "'; DROP TABLE things; -- \\'")
  t.is(await one('SELECT CAST(? AS SIGNED)', '9007199254740993'), '9007199254740993')
  t.is(await one('SELECT c7 FROM things WHERE c7 = ?', '-9223372036854775808'), '-9223372036854775808')
  t.is(await one('SELECT c0 FROM things WHERE c0 = ?', -128), -128)
  t.is(Number(await one('SELECT ? + 1', true)), 2)
  t.is(await one("SELECT JSON_EXTRACT(?, '$.a[1]')", { a: [1, 2] }), '2')
  t.is(await one("SELECT IF(? IS NULL, 'null', 'not')", null), 'null')
  t.deepEqual(
    (await query(driver, "SELECT n FROM (SELECT 'a' AS n UNION SELECT 'b') x ORDER BY n LIMIT ?", [1])).rows,
    [['a']],
  )
  t.is(await one("SELECT 'a ? b'"), 'a ? b')
  t.is((await failureOf(() => one('SELECT ?'))).failure, 'sql-invalid')
})

test('columns of one name are all there', async t => {
  const { driver } = await open(t)
  const { columns, rows } = await query(driver, "SELECT 'y' AS a, 'z' AS a, 'x' AS `weird \"name`")
  t.deepEqual(
    columns.map(({ name }) => name),
    ['a', 'a', 'weird "name'],
  )
  t.deepEqual(rows, [['y', 'z', 'x']])
})

test('of a procedure with several results the first one counts', async t => {
  const { driver, sql } = await open(t)
  await sql("CREATE PROCEDURE two() BEGIN SELECT 'x' AS a; SELECT 2 AS b, 3 AS c; END")
  const { columns, rows } = await collect(await submit(driver, 'CALL two()'))
  t.deepEqual(
    columns.map(({ name }) => name),
    ['a'],
  )
  t.deepEqual(rows, [['x']])
})
