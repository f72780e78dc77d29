/**
 * How the database finds what retention clears away and what is owed to webhooks: by an index, whatever lies in the tables. The statements are the server's own
 * record of what the store asked, and the plans are the server's too.
 */
import test from 'ava'
import { committed, joined, leading, opened, storeOn, submitted, TestQuery } from '../conformance/store-fixtures.ts'
import { page } from '../conformance/store-steps.ts'
import { eventually } from '../support/conditions.ts'
import { ask } from '../support/invariants.ts'
import { createDatabase, executeAt, privateMySqlServer } from '../support/mysql.ts'

const count = 400
/** What grows with the history of the cluster. */
const large =
  /^(finished_query|query_transition|failed_attempt|result_page|submission_key|session_transition|webhook_delivery|q|s|t|p|d)$/

interface PlanRow {
  readonly table: string | null
  readonly type: string | null
  readonly key: string | null
  readonly rows: number | null
  readonly Extra: string | null
}

test('nothing that is cleared away, or owed to webhooks, is looked for by reading a table', async t => {
  const server = await privateMySqlServer(t)
  const url = await createDatabase(t, server.url)
  const store = await storeOn(t, url, 15_000, {
    webhooks: [{ name: 'all', outcomes: ['SUCCESSFUL', 'FAILED', 'CANCELED'], users: null }],
  })
  const member = await joined(store)
  const term = await leading(store, member)
  const session = await opened(store)
  const queries = Array.from({ length: count }, () => new TestQuery(member, session))
  for (const query of queries) {
    query.key = query.handle
    query.requestHash = 'h'
  }
  await submitted(store, ...queries)
  for (const { handle } of queries.slice(0, 100)) await store.pages.append(page(handle, 0), 1)
  await committed(
    store,
    ...queries.map((query, index) =>
      query.run(
        `${index < 20 ? 2020 : 2090}-01-01T00:00:${String(index % 60).padStart(2, '0')}.000Z`,
        new Date(Date.UTC(2020, 0, 1, 0, 0, index)).toISOString(),
      ),
    ),
  )
  await executeAt(
    url,
    "INSERT INTO failed_attempt (handle, attempt, node, engine, code, message, at) SELECT handle, 1, 'n', 'e', 'NODE_LOST', '', 1 FROM finished_query",
  )
  for (let index = 0; index < 100; index++) await opened(store, index < 3 ? { idleMs: 1 } : {})
  await eventually(async () => (await store.sessions.sweep(term, 10)).expired.length === 0, Boolean)
  await executeAt(url, "UPDATE session_transition SET at = 1 WHERE to_status = 'EXPIRED'")
  // As nearly all are, at nearly every time.
  await executeAt(url, "UPDATE webhook_delivery SET state = 'DELIVERED' ORDER BY handle LIMIT 380")
  const tables = (await ask(url, 'SHOW TABLES')).map(row => `\`${Object.values(row)[0]}\``)
  await executeAt(url, `ANALYZE TABLE ${tables.join(', ')}`)

  await executeAt(url, "SET GLOBAL log_output = 'TABLE'")
  await executeAt(url, 'SET GLOBAL general_log = ON')
  const before = Date.UTC(2020, 0, 1, 0, 0, 10)
  await store.retention.forget(term, { before }, 25)
  await store.pages.expire(term, 10)
  await store.retention.forget(term, { before }, 25)
  await store.retention.forget(term, { agoMs: Date.now() - before }, 25)
  await store.retention.endOfNewest(50)
  await store.retention.excess(0)
  await store.retention.expireEarly(term, 10, 5)
  await store.retention.withoutRows(queries.slice(0, 30).map(({ handle }) => handle))
  const [due] = await store.webhooks.due('all', 10)
  if (due) await store.webhooks.record(due, { kind: 'dead', error: 'gone' })
  await store.webhooks.list({}, 10, null)
  await store.webhooks.again({ handle: queries[200]?.handle ?? '', webhook: 'all' })
  await store.webhooks.backlog()
  await executeAt(url, 'SET GLOBAL general_log = OFF')

  const asked = await ask(
    url,
    "SELECT DISTINCT argument AS sql_ FROM mysql.general_log WHERE command_type IN ('Query', 'Execute')",
  )
  const statements = asked
    .map(({ sql_ }) => String(sql_))
    .filter(
      sql => /^(SELECT|UPDATE|DELETE|INSERT INTO .* SELECT)/.test(sql) && tables.some(table => sql.includes(table)),
    )
    .filter(sql => /finished_query|_transition|failed_attempt|result_page|submission_key|webhook_delivery/.test(sql))
  const deleted = new Set(
    statements.flatMap(sql => /^DELETE q FROM (`\w+`)|^DELETE FROM (`\w+`)/.exec(sql)?.slice(1) ?? []),
  )
  for (const table of [
    'finished_query',
    'query_transition',
    'failed_attempt',
    'result_page',
    'submission_key',
    'session_transition',
    'webhook_delivery',
  ])
    t.true(deleted.has(`\`${table}\``), `${table} is cleared, which is what is judged here`)
  for (const sql of statements)
    for (const { table, type, key, rows, Extra } of (await ask(url, `EXPLAIN ${sql}`)) as unknown as PlanRow[]) {
      if (table === null || !large.test(table)) continue
      const told = `${sql.slice(0, 300)}: ${type} by ${key}, ${rows} rows, ${Extra}`
      t.not(type, 'ALL', told)
      // The whole of an index is read only in its order, and only as far as it is wanted.
      if (type === 'index') t.true(/LIMIT \d+/.test(sql) && !/filesort|temporary/.test(Extra ?? ''), told)
    }
})
