/** What a client's statement must not reach: the server's files, its settings and secrets, and anything but reading. */
import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test, { type ExecutionContext } from 'ava'
import { failureOf, query, request, submit } from '../conformance/engines.ts'
import { temporaryFolder } from '../support/folders.ts'
import { openDuckDb } from './support.ts'

const secret = 'the-secret-of-the-server'

async function opened(t: ExecutionContext) {
  const { driver, folder } = await openDuckDb(t, {
    'items.csv': 'id,name\n1,one\n2,two\n',
    'events.json': '[{"at":"2024-01-01","kind":"a"}]',
  })
  const other = await temporaryFolder(t, 'server')
  await writeFile(join(other, 'secret.csv'), `value\n${secret}\n`)
  const store = new DatabaseSync(join(other, 'lens.db'))
  store.exec(`CREATE TABLE session (secret TEXT); INSERT INTO session VALUES ('${secret}')`)
  store.close()
  return { driver, folder, other }
}

async function checksums(folder: string): Promise<Record<string, string>> {
  const sums: Record<string, string> = {}
  for (const name of (await readdir(folder)).sort())
    sums[name] = createHash('sha256')
      .update(await readFile(join(folder, name)))
      .digest('hex')
  return sums
}

test('nothing but reading is allowed, and nothing of it has an effect', async t => {
  const { driver, folder, other } = await opened(t)
  const before = { tables: await checksums(folder), server: await checksums(other) }
  const statements = [
    `COPY items TO '${folder}/items.csv'`,
    `COPY (SELECT 1) TO '${folder}/items.csv'`,
    `COPY (SELECT 1) TO 'tables/items.csv'`,
    `COPY (SELECT 1) TO '${other}/new.csv'`,
    `COPY items FROM '${other}/secret.csv'`,
    `EXPLAIN ANALYZE COPY (SELECT 1) TO '${other}/new.csv'`,
    `EXPLAIN COPY (SELECT 1) TO '${other}/new.csv'`,
    `EXPLAIN ANALYZE CREATE TABLE made AS SELECT 1`,
    `EXPLAIN /* \n */ ANALYZE CREATE TABLE made (i INTEGER)`,
    `EXPORT DATABASE '${other}/dump'`,
    `IMPORT DATABASE '${other}'`,
    'CREATE TABLE made (i INTEGER)',
    'CREATE TEMP TABLE made (i INTEGER)',
    'CREATE TABLE made AS SELECT 1',
    'CREATE OR REPLACE VIEW items AS SELECT 1',
    'CREATE MACRO made() AS 1',
    'CREATE SEQUENCE made',
    'CREATE TYPE made AS INTEGER',
    'CREATE SCHEMA made',
    'DROP VIEW items',
    'ALTER VIEW items RENAME TO made',
    "COMMENT ON VIEW items IS 'x'",
    "INSERT INTO items VALUES (3, 'three')",
    "WITH x AS (SELECT 3 AS id) INSERT INTO items SELECT id, 'x' FROM x",
    'UPDATE items SET id = 5',
    'DELETE FROM items',
    'TRUNCATE items',
    'MERGE INTO items USING (SELECT 1 AS id) x ON true WHEN MATCHED THEN DELETE',
    `ATTACH '${other}/lens.db' AS stolen (TYPE sqlite)`,
    `ATTACH '${other}/other.duckdb' AS made`,
    "ATTACH ':memory:' AS made",
    'DETACH memory',
    'USE memory',
    'SET threads = 1',
    'SET GLOBAL enable_external_access = true',
    'SET lock_configuration = false',
    'SET VARIABLE x = 1',
    'RESET threads',
    'PRAGMA database_list',
    'PRAGMA version',
    "PRAGMA import_database('/')",
    'PRAGMA enable_profiling',
    'CALL pragma_version()',
    'CALL enable_logging()',
    'CALL duckdb_settings()',
    'LOAD httpfs',
    'INSTALL httpfs',
    `LOAD '${other}/x.duckdb_extension'`,
    'FORCE INSTALL httpfs',
    'UPDATE EXTENSIONS',
    "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    'DROP SECRET s',
    'PREPARE p AS SELECT 1',
    'EXECUTE p',
    'DEALLOCATE p',
    'BEGIN',
    'COMMIT',
    'ROLLBACK',
    'CHECKPOINT',
    'FORCE CHECKPOINT',
    'VACUUM',
    'ANALYZE',
    'PIVOT items ON name USING count(*)',
    'SELECT 1; DROP VIEW items',
    `SELECT 1; COPY (SELECT 1) TO '${other}/new.csv'`,
    'SELECT 1;; SELECT 2',
  ]
  for (const sql of statements) {
    for (const attempt of [
      () => query(driver, sql),
      () => submit(driver, sql, { isolated: false }),
      () => driver.estimate(request(sql)),
      () => driver.explain(request(sql)),
      () => driver.prepare(request(sql)),
    ]) {
      const error = await failureOf(attempt, sql)
      t.is(error.failure, 'sql-invalid', `${sql}: ${error.message}`)
    }
  }
  t.deepEqual({ tables: await checksums(folder), server: await checksums(other) }, before)
  t.deepEqual((await query(driver, 'SELECT count(*) FROM items')).rows, [['2']])
  t.deepEqual((await query(driver, 'SELECT table_name FROM information_schema.tables ORDER BY 1')).rows, [
    ['events'],
    ['items'],
  ])
})

test('comments cannot hide from the guard what DuckDB would see', async t => {
  const { driver, other } = await opened(t)
  const before = await checksums(other)
  const copy = `copy (select 1) to '${other}/new.csv'`
  for (const sql of [
    `/* /* */ explain -- */ explain analyze ${copy}\n SELECT 1`,
    `/* /* */ */ explain analyze ${copy}`,
    `explain /* /* */ analyze */ ${copy}`,
    `explain -- \r ${copy}`,
    `explain analyze (${copy})`,
    `explain (analyze) ${copy}`,
  ])
    await query(driver, sql).catch(() => {})
  t.deepEqual(await checksums(other), before)
})

test('no other file can be read, by any name or function', async t => {
  const { driver, folder, other } = await opened(t)
  const file = `${other}/secret.csv`
  const statements = [
    "SELECT * FROM '/etc/passwd'",
    `SELECT * FROM '${file}'`,
    `FROM '${file}'`,
    `DESCRIBE '${file}'`,
    `SUMMARIZE '${file}'`,
    `SELECT * FROM "${file}"`,
    `SELECT * FROM '${other}/lens.db'`,
    `SELECT * FROM '${other}/*.csv'`,
    `SELECT (SELECT max(x) FROM '${file}' AS t(x))`,
    ...[
      'read_csv',
      'read_csv_auto',
      'read_text',
      'read_blob',
      'read_json',
      'read_json_auto',
      'read_json_objects',
      'read_ndjson',
      'read_parquet',
      'parquet_scan',
      'parquet_metadata',
      'parquet_schema',
      'parquet_file_metadata',
      'parquet_kv_metadata',
      'sniff_csv',
      'glob',
      'read_duckdb',
      'sqlite_scan',
      'ST_Read',
    ].flatMap(name => [
      `SELECT * FROM ${name}('${file}')`,
      `SELECT * FROM ${name.toUpperCase()}('${file}')`,
      `SELECT * FROM "${name}"('${file}')`,
      `SELECT * FROM system.main.${name}('${file}')`,
      `WITH x AS (SELECT * FROM ${name}('${file}')) SELECT * FROM x`,
      `SELECT 1 WHERE EXISTS (SELECT * FROM ${name}('${file}'))`,
      `EXPLAIN ANALYZE SELECT * FROM ${name}('${file}')`,
    ]),
    `SELECT * FROM read_csv('${folder}/items.csv')`,
    "SELECT * FROM glob('**')",
    "SELECT * FROM glob('/proc/self/environ')",
    "SELECT * FROM read_text('/proc/self/environ')",
    `SELECT * FROM query('SELECT * FROM read_text(''${file}'')')`,
    `SELECT * FROM query_table('${file}')`,
    `SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''${file}'')'))`,
    "SELECT * FROM sql_auto_complete('SELECT * FROM ''/etc/')",
    "SELECT * FROM 'https://example.com/x.csv'",
    "SELECT * FROM read_csv('s3://bucket/x.csv')",
    "SELECT getenv('HOME')",
  ]
  for (const sql of statements) {
    const error = await failureOf(() => query(driver, sql), sql)
    t.is(error.failure, 'sql-invalid', `${sql}: ${error.message}`)
    t.false(error.message.includes(secret))
  }
})

test('settings, secrets and what else tells about the server stay hidden', async t => {
  const { driver } = await opened(t)
  const relations = [
    'duckdb_settings',
    'duckdb_secrets',
    'duckdb_views',
    'duckdb_databases',
    'duckdb_logs',
    'duckdb_extensions',
    'duckdb_temporary_files',
    'duckdb_memory',
    'duckdb_prepared_statements',
    'duckdb_variables',
    'duckdb_external_file_cache',
    'pragma_database_list',
    'pragma_database_size',
    'which_secret',
    'pragma_user_agent',
    'enable_logging',
    'truncate_duckdb_logs',
    'checkpoint',
    'force_checkpoint',
  ]
  const statements = [
    ...relations.map(name => `SELECT * FROM ${name}()`),
    ...relations.map(name => `SELECT * FROM ${name}`),
    ...[
      'duckdb_views',
      'duckdb_databases',
      'pragma_database_list',
      'sqlite_master',
      'sqlite_schema',
      'duckdb_logs',
    ].flatMap(name => [
      `FROM ${name}`,
      `FROM "${name.toUpperCase()}"`,
      `FROM main.${name}`,
      `FROM system.${name}`,
      `FROM system.main.${name}`,
      `SELECT (SELECT count(*) FROM ${name})`,
      `DESCRIBE ${name}`,
      `SUMMARIZE ${name}`,
    ]),
    'FROM pg_settings',
    'FROM pg_catalog.pg_settings',
    'FROM pg_views',
    'FROM system.pg_catalog.pg_settings',
    'FROM information_schema.views',
    'FROM system.information_schema.views',
    "SELECT current_setting('allowed_paths')",
    "SELECT main.current_setting('temp_directory')",
    "SELECT system.main.current_setting('temp_directory')",
    'SELECT "current_setting"(\'home_directory\')',
    "SELECT CURRENT_SETTING('home_directory')",
    "SELECT list_transform(['home_directory'], lambda x: current_setting(x))",
    "SELECT 1 ORDER BY current_setting('home_directory')",
    "SELECT sum(1) OVER (PARTITION BY current_setting('home_directory'))",
    "SELECT write_log('x')",
    'SHOW allowed_paths',
  ]
  for (const sql of statements) {
    const error = await failureOf(() => query(driver, sql), sql)
    t.is(error.failure, 'sql-invalid', `${sql}: ${error.message}`)
  }
})

test('plans, messages and catalogues do not show where the files are', async t => {
  const { driver, folder, other } = await opened(t)
  const texts: string[] = []
  for (const sql of [
    'EXPLAIN SELECT * FROM items',
    'EXPLAIN ANALYZE SELECT * FROM items WHERE id > 1',
    'EXPLAIN (FORMAT JSON) SELECT * FROM items',
    'EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM items',
    'DESCRIBE items',
    'SHOW ALL TABLES',
    'SHOW DATABASES',
    'SHOW TABLES',
    'FROM duckdb_tables()',
    'FROM duckdb_columns()',
    'FROM duckdb_schemas()',
    'FROM information_schema.tables',
    'FROM pg_catalog.pg_class',
  ])
    texts.push(JSON.stringify(await query(driver, sql)))
  texts.push(await driver.explain(request('SELECT * FROM items')))
  for (const sql of [
    "SELECT * FROM 'tables/none.csv'",
    'SELECT filename FROM items',
    "SELECT * FROM '/srv/none.parquet'",
    'SELECT name::INTEGER FROM items',
    'SELECT * FROM duckdb_secrets()',
  ])
    texts.push((await failureOf(() => query(driver, sql))).message)
  for (const text of texts) {
    t.false(text.includes(folder), text)
    t.false(text.includes(other), text)
    t.false(text.includes('lens-duckdb-'), text)
  }
})

test('reading in all its forms is allowed', async t => {
  const { driver } = await opened(t)
  for (const sql of [
    'SELECT 1',
    ' -- a comment\nSELECT 1; -- another',
    '/* a */ SELECT /* b */ 1',
    'VALUES (1), (2)',
    'FROM items',
    'TABLE items',
    'WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 10) SELECT * FROM r',
    'SELECT * FROM items JOIN events ON true ORDER BY id LIMIT 1',
    'SELECT name, count(*) FROM items GROUP BY ALL',
    "PIVOT items ON name IN ('one', 'two') USING count(*)",
    'UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b',
    'DESCRIBE items',
    'DESCRIBE SELECT 1',
    'SHOW TABLES',
    'SHOW ALL TABLES',
    'SUMMARIZE items',
    'EXPLAIN SELECT * FROM items',
    'explain analyze select 1',
    'EXPLAIN (FORMAT JSON) SELECT 1',
    'EXPLAIN (SELECT 1)',
    'FROM range(3)',
    'FROM generate_series(1, 3)',
    'SELECT unnest([1, 2])',
    'FROM unnest([1, 2])',
    "FROM json_each('[1,2]')",
    'FROM information_schema.columns',
    'FROM duckdb_columns()',
    'FROM pg_catalog.pg_class',
    'SELECT * FROM main.items',
    'SELECT * FROM memory.main.items',
    'SELECT current_schema(), version()',
    "SELECT 'it''s; not -- two' AS \"a; b\"",
  ])
    await t.notThrowsAsync(async () => query(driver, sql), sql)
})

test('the database of a session is a schema that exists', async t => {
  const { driver } = await opened(t)
  await t.notThrowsAsync(async () => (await submit(driver, 'SELECT 1', { database: 'main' })).cancel())
  const error = await failureOf(() => submit(driver, 'SELECT 1', { database: 'elsewhere' }))
  t.is(error.failure, 'sql-invalid')
  t.regex(error.message, /elsewhere/)
})

test('properties of a session change nothing, whatever they are', async t => {
  const { driver } = await opened(t)
  const run = await submit(driver, 'SELECT 1', {
    properties: { enable_external_access: 'true', threads: '1; DROP VIEW items' },
  })
  await run.cancel()
  t.is((await failureOf(() => query(driver, "SELECT * FROM '/etc/passwd'"))).failure, 'sql-invalid')
})
