/** Values in the text of statements, and statements that travel together, before a real server. */
import test from 'ava'
import type { SqlValue } from '../../src/store/database.ts'
import { MySqlConnector } from '../../src/store/mysql.ts'
import { withValues } from '../../src/store/mysql-text.ts'
import type { Teardown } from '../support/folders.ts'
import { mysqlDatabases } from '../support/mysql.ts'

const databases = mysqlDatabases(test)

async function connected(t: Teardown): Promise<MySqlConnector> {
  const url = await databases.create(t)
  const connector = new MySqlConnector({ url, connectionsMax: 2, silenceMs: 10_000, connectMs: 10_000 })
  t.teardown(() => connector.close())
  await connector.connect()
  return connector
}

const texts = [
  '',
  "it's",
  `"double", 'single', \`back\``,
  'back\\slash, at the end \\',
  "\\'; DROP TABLE t; -- ",
  '\0 \b \t \n \r \x1a \x7f',
  '? ?? :name @variable %s',
  '/* */ -- #',
  'äß漢字 🦉 \u2028',
  JSON.stringify({ sql: `select 'a' as "b"`, nested: { back: '\\', line: '\n' } }),
]

test('a text comes back as it was written, whatever is in it', async t => {
  const { statements } = await connected(t)
  for (const text of texts) {
    const [row] = await statements.rows<Record<string, unknown>>('SELECT ? AS a, ? AS b, ? AS c', [text, 1, `${text}'`])
    t.deepEqual({ ...row }, { a: text, b: 1, c: `${text}'` })
  }
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index)
  const [row] = await statements.rows<{ a: Uint8Array; b: null; c: number }>('SELECT ? AS a, ? AS b, ? AS c', [
    bytes.subarray(1),
    null,
    -1.5e-7,
  ])
  t.deepEqual([...(row?.a ?? [])], [...bytes.subarray(1)])
  t.is(row?.b, null)
  t.is(Number(row?.c), -1.5e-7)
})

test('a statement has as many places as values', t => {
  t.is(withValues('SELECT 1', []), 'SELECT 1')
  for (const values of [[1], [1, 2, 3]] as SqlValue[][])
    t.throws(() => withValues('SELECT ?, ?', values), { message: /2 places/ })
})

async function withTable(t: Teardown): Promise<MySqlConnector> {
  const connector = await connected(t)
  await connector.statements.run('CREATE TABLE t (id INT PRIMARY KEY, text VARCHAR(100)) ENGINE=InnoDB')
  return connector
}

const idsIn = async (connector: MySqlConnector) =>
  (await connector.statements.rows<{ id: number }>('SELECT id FROM t ORDER BY id')).map(({ id }) => id)

const add = 'INSERT INTO t (id, text) VALUES (?, ?)'

test('what was put off is done before what comes after it, and with the commit', async t => {
  const connector = await withTable(t)
  await connector.transaction(async transaction => {
    transaction.later(add, [1, texts[4] as string])
    transaction.later(add, [2, 'b'])
    t.deepEqual(
      [...(await transaction.rows('SELECT id, text FROM t ORDER BY id'))].map(row => ({ ...row })),
      [
        { id: 1, text: texts[4] },
        { id: 2, text: 'b' },
      ],
    )
    transaction.later(add, [3, 'c'])
    t.is(await transaction.run('UPDATE t SET text = ? WHERE id > ?', ['d', 1]), 2)
    transaction.later(add, [4, 'd'])
  })
  t.deepEqual(await idsIn(connector), [1, 2, 3, 4])
})

test('what was put off says what it answered once what comes after it is done', async t => {
  const connector = await withTable(t)
  await connector.transaction(async transaction => {
    await transaction.run(add, [1, 'a'])
    const read = transaction.later<{ id: number }>('SELECT id FROM t ORDER BY id')
    const added = transaction.later(add, [2, 'b'])
    const updated = transaction.later('UPDATE t SET text = ?', ['c'])
    t.throws(() => read.rows, { message: /no answer/ })
    t.throws(() => updated.count, { message: /no answer/ })
    t.is((await transaction.rows('SELECT id FROM t')).length, 2)
    t.deepEqual(
      read.rows.map(({ id }) => id),
      [1],
    )
    t.deepEqual([added.rows, added.count, updated.count], [[], 1, 2])
    t.is(read.count, 0)
  })
})

test('nothing is left of a transaction of which something fails, wherever it stands', async t => {
  const connector = await withTable(t)
  await connector.statements.run(add, [9, 'there'])
  const duplicate = { errno: 1062 }
  const failing: ((transaction: Parameters<Parameters<MySqlConnector['transaction']>[0]>[0]) => Promise<unknown>)[] = [
    // With the commit; what comes after it is not run.
    async transaction => {
      transaction.later(add, [1, 'a'])
      transaction.later(add, [9, 'twice'])
      transaction.later(add, [2, 'b'])
    },
    // With a later statement.
    async transaction => {
      transaction.later(add, [9, 'twice'])
      await transaction.run(add, [1, 'a'])
    },
    async transaction => {
      await transaction.run(add, [1, 'a'])
      await transaction.run(add, [9, 'twice'])
    },
  ]
  for (const work of failing) t.like(await t.throwsAsync(connector.transaction(work), { any: true }), duplicate)
  // Undone by whoever works in it, before or after something was sent.
  for (const sent of [false, true])
    await t.throwsAsync(
      connector.transaction(async transaction => {
        if (sent) await transaction.run(add, [1, 'a'])
        transaction.later(add, [2, 'b'])
        throw new Error('undone')
      }),
      { message: 'undone' },
    )
  t.deepEqual(await idsIn(connector), [9])
  // Their connections go on being used.
  await connector.transaction(async transaction => transaction.later(add, [1, 'a']))
  t.deepEqual(await idsIn(connector), [1, 9])
})

test('a transaction without a statement asks nothing', async t => {
  const connector = await connected(t)
  const before = connector.statementCount
  t.is(await connector.transaction(async () => 42), 42)
  t.is(connector.statementCount, before)
})
