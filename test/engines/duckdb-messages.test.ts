/** DuckDB's errors quote the statement and mark a place in it: it is always the client's own text, however it was asked for. */
import test from 'ava'
import { failureOf, query, request, submit } from '../conformance/engines.ts'
import { openDuckDb } from './support.ts'

/** The number of the line that a message quotes, its text, and what stands above the mark. */
function place(message: string): { line: number; text: string; marked: string } | null {
  const match = /\n\nLINE (\d+): (.*)\n( *)\^/.exec(message)
  if (!match) return null
  const [, line, text, indent] = match as unknown as [string, string, string, string]
  const column = indent.length - `LINE ${line}: `.length
  return { line: Number(line), text, marked: /^\w*/.exec(text.slice(column))?.[0] ?? '' }
}

test('line, text and mark of an error are those of the text that the client sent', async t => {
  const { driver } = await openDuckDb(t, { 'items.csv': 'id,name\n1,one\n2,two\n' })
  const refused = [
    { sql: 'select missing from items', line: 1, marked: 'missing' },
    { sql: 'select id,\n  missing\nfrom items', line: 2, marked: 'missing' },
    { sql: '\n\nselect id from items\nwhere missing = 1', line: 4, marked: 'missing' },
    { sql: "select 'é', missing from items", line: 1, marked: 'missing' },
    { sql: 'select id from items wher id = 1', line: 1, marked: 'id' },
    { sql: 'select id\nfrom items wher id = 1', line: 2, marked: 'id' },
    { sql: 'explain select missing from items', line: 1, marked: 'missing' },
    { sql: 'explain\n-- why\nselect id,\n  missing from items', line: 4, marked: 'missing' },
    { sql: 'explain analyze\nselect id from items wher id = 1', line: 2, marked: 'id' },
  ]
  for (const { sql, line, marked } of refused)
    for (const [how, ask] of Object.entries({
      run: () => query(driver, sql),
      submit: () => submit(driver, sql, { isolated: false }),
      estimate: () => driver.estimate(request(sql)),
      explain: () => driver.explain(request(sql)),
      prepare: () => driver.prepare(request(sql)),
    })) {
      const { failure, message } = await failureOf(ask, sql)
      t.is(failure, 'sql-invalid', message)
      const found = place(message)
      t.like(found, { line, marked }, `${how} of ${sql}: ${message}`)
      t.true(sql.split('\n')[line - 1]?.endsWith(found?.text ?? 'nothing'), `${how} of ${sql}: ${message}`)
      if (!sql.startsWith('explain')) t.notRegex(message, /explain/i)
    }
})

test('so it is when the statement fails while its rows are read', async t => {
  const { driver } = await openDuckDb(t, { 'items.csv': 'id,name\n1,one\n2,two\n' })
  for (const [sql, line] of [
    ['select id,\n  name::integer from items', 2],
    ['explain analyze\nselect id,\n  name::integer from items', 3],
  ] as const) {
    const { message } = await failureOf(() => query(driver, sql), sql)
    t.like(place(message), { line, text: '  name::integer from items' }, message)
  }
})
