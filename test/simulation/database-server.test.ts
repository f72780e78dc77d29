/** Transactions of several connections on the simulated server, as InnoDB has them at READ COMMITTED. */
import test from 'ava'
import { emptyDatabase } from './database.ts'
import { DatabaseServer, type ServerAnswer, type ServerConnection } from './database-server.ts'
import { Scheduler } from './scheduler.ts'

interface Answered {
  settled: boolean
  error: { errno?: number } | null
  answer: ServerAnswer | null
}

async function served() {
  const scheduler = new Scheduler({ seed: '1' })
  const server = new DatabaseServer(scheduler, await emptyDatabase())
  const say = (connection: ServerConnection, sql: string, ...values: (string | number)[]): Answered => {
    const answered: Answered = { settled: false, error: null, answer: null }
    const type = ({ BEGIN: 'begin', COMMIT: 'commit', ROLLBACK: 'rollback' } as const)[sql]
    server.execute(connection, type ? { type } : { type: 'statement', sql, values }, (error, answer) => {
      Object.assign(answered, { settled: true, error, answer })
    })
    return answered
  }
  const [a, b, c] = [server.connect(['a']), server.connect(['b']), server.connect(['c'])] as const
  for (const scope of ['x', 'y', 'z']) say(a, 'INSERT INTO `usage_counter` (`scope`, `value`) VALUES (?, 0)', scope)
  const set = (of: ServerConnection, scope: string, value: number) =>
    say(of, 'UPDATE `usage_counter` SET `value` = ? WHERE `scope` = ?', value, scope)
  const get = (of: ServerConnection, scope: string, lock = '') =>
    say(of, `SELECT \`value\` AS v FROM \`usage_counter\` WHERE \`scope\` = ?${lock}`, scope)
  const value = (answered: Answered) => (answered.answer?.rows[0] as { v: number } | undefined)?.v
  const committed = (scope: string) =>
    (server.committed('SELECT value AS v FROM usage_counter WHERE scope = ?', [scope])[0] as { v: number }).v
  return { scheduler, server, say, set, get, value, committed, a, b, c }
}

test('nobody sees what is not committed, its own transaction does, and a later statement sees what is', async t => {
  const { say, set, get, value, committed, a, b } = await served()
  for (const one of [a, b]) say(one, 'BEGIN')
  set(a, 'x', 1)
  t.is(value(get(b, 'x')), 0)
  t.is(committed('x'), 0)
  set(b, 'y', 2)
  t.is(value(get(a, 'x')), 1)
  t.is(value(get(a, 'y')), 0)
  t.is(value(get(b, 'y')), 2)
  say(a, 'COMMIT')
  t.is(value(get(b, 'x')), 1)
  t.is(committed('y'), 0)
  say(b, 'ROLLBACK')
  t.deepEqual([committed('x'), committed('y')], [1, 0])
})

test('many transactions at once keep what each has changed: inserts, updates, deletes', async t => {
  const { server, say, set, committed, a, b, c } = await served()
  const insert = (of: ServerConnection, scope: string) =>
    say(of, 'INSERT INTO `usage_counter` (`scope`, `value`) VALUES (?, 7)', scope)
  for (const one of [a, b, c]) say(one, 'BEGIN')
  insert(a, 'a1')
  insert(b, 'b1')
  set(c, 'x', 3)
  insert(a, 'a2')
  say(b, 'DELETE FROM `usage_counter` WHERE `scope` = ?', 'y')
  set(a, 'a1', 8)
  set(c, 'x', 4)
  say(a, 'COMMIT')
  say(c, 'ROLLBACK')
  say(b, 'COMMIT')
  const rows = server.committed('SELECT scope, value FROM usage_counter ORDER BY scope', []) as {
    scope: string
    value: number
  }[]
  t.deepEqual(
    rows.map(({ scope, value }) => [scope, value]),
    [
      ['a1', 8],
      ['a2', 7],
      ['b1', 7],
      ['x', 0],
      ['z', 0],
    ],
  )
  t.is(committed('x'), 0)
})

test('what is set aside keeps keys of several columns, numbers, bytes and nothing at all', async t => {
  const { server, say, set, committed, a, b } = await served()
  const bytes = Buffer.from([0, 31, 255])
  server.execute(
    a,
    {
      type: 'statement',
      sql: 'INSERT INTO `result_page` (`handle`, `attempt`, `page`, `first_row`, `row_count`, `bytes`, `data`) VALUES (?, 1, 2, 0, 0, 3, ?)',
      values: ['h', bytes],
    },
    () => undefined,
  )
  const before = server.committed('SELECT * FROM result_page', [])[0] as object
  for (const one of [a, b]) say(one, 'BEGIN')
  say(a, 'UPDATE `result_page` SET `bytes` = 4 WHERE `handle` = ? AND `page` = 2', 'h')
  say(a, "UPDATE `lease` SET `term` = 9, `holder_node` = 'a' WHERE `id` = 1")
  say(a, 'INSERT INTO `result_page` SELECT `handle`, `attempt`, 3, 0, 0, 0, NULL FROM `result_page`')
  set(b, 'x', 1)
  set(a, 'y', 2)
  set(b, 'z', 3)
  say(a, 'COMMIT')
  say(b, 'COMMIT')
  t.deepEqual(
    server.committed('SELECT * FROM result_page ORDER BY page', []).map(row => ({ ...row })),
    [
      { ...before, bytes: 4 },
      { ...before, page: 3, bytes: 0, data: null },
    ],
  )
  t.like(server.committed('SELECT * FROM lease', [])[0], { id: 1, term: 9, holder_node: 'a' })
  t.is(server.committed('SELECT * FROM lease', []).length, 1)
  t.deepEqual([committed('x'), committed('y'), committed('z')], [1, 2, 3])
})

test('a writer waits for the writer of the same row, and then sees its outcome', async t => {
  const { scheduler, say, set, committed, a, b } = await served()
  const add = (of: ServerConnection) =>
    say(of, 'UPDATE `usage_counter` SET `value` = `value` + 1 WHERE `scope` = ?', 'x')
  say(a, 'BEGIN')
  set(a, 'x', 10)
  const waiting = add(b)
  await scheduler.run({ untilMs: 500 })
  t.false(waiting.settled)
  say(a, 'COMMIT')
  await scheduler.run({ untilMs: 501 })
  t.true(waiting.settled)
  t.is(waiting.answer?.affected, 1)
  t.is(committed('x'), 11)
})

test('a guarded write that waited counts nothing when its row was moved meanwhile', async t => {
  const { scheduler, say, set, committed, a, b } = await served()
  say(a, 'BEGIN')
  set(a, 'x', 1)
  const guarded = say(b, 'UPDATE `usage_counter` SET `value` = 5 WHERE `scope` = ? AND `value` = 0', 'x')
  t.false(guarded.settled)
  say(a, 'COMMIT')
  await scheduler.run()
  t.is(guarded.answer?.affected, 0)
  t.is(committed('x'), 1)
})

test('a lock that is not given back is waited for a second (1205); the transaction of who waited stays', async t => {
  const { scheduler, server, say, set, committed, a, b } = await served()
  for (const one of [a, b]) say(one, 'BEGIN')
  set(a, 'x', 1)
  set(b, 'y', 2)
  const waiting = set(b, 'x', 2)
  await scheduler.run({ untilMs: 999 })
  t.false(waiting.settled)
  await scheduler.run({ untilMs: 1001 })
  t.is(waiting.error?.errno, 1205)
  t.is(server.lockTimeouts, 1)
  say(b, 'COMMIT')
  t.deepEqual([committed('x'), committed('y')], [0, 2])
})

test('two that wait for each other: one is undone at once (1213), the other goes on', async t => {
  const { scheduler, server, say, set, committed, a, b } = await served()
  for (const one of [a, b]) say(one, 'BEGIN')
  set(a, 'x', 1)
  set(b, 'y', 2)
  const first = set(a, 'y', 1)
  t.false(first.settled)
  t.is(set(b, 'x', 2).error?.errno, 1213)
  t.is(server.deadlocks, 1)
  await scheduler.run({ untilMs: 1 })
  t.is(first.answer?.affected, 1)
  say(a, 'COMMIT')
  t.deepEqual([committed('x'), committed('y')], [1, 1])
})

test('readers that lock share with each other, not with writers; those that skip never wait', async t => {
  const { scheduler, say, set, get, value, a, b, c } = await served()
  for (const one of [a, b, c]) say(one, 'BEGIN')
  t.is(value(get(a, 'x', ' /*share*/')), 0)
  t.is(value(get(b, 'x', ' /*share*/')), 0)
  const writer = set(c, 'x', 1)
  const skipping = say(
    b,
    "SELECT `scope` AS v FROM `usage_counter` WHERE `scope` IN ('x', 'y') ORDER BY `scope` LIMIT 1 /*skip*/",
  )
  t.is(value(skipping) as unknown, 'y')
  say(a, 'COMMIT')
  await scheduler.run({ untilMs: 1 })
  t.false(writer.settled)
  say(b, 'COMMIT')
  await scheduler.run({ untilMs: 2 })
  t.is(writer.answer?.affected, 1)
  const reader = get(a, 'x', ' /*update*/')
  t.false(reader.settled)
  say(c, 'COMMIT')
  await scheduler.run({ untilMs: 3 })
  t.is(value(reader), 1)
})

test('an insert waits for an uncommitted one of the same key', async t => {
  const { scheduler, say, a, b, c } = await served()
  const insert = (of: ServerConnection, end = '') =>
    say(of, `INSERT INTO \`usage_counter\` (\`scope\`, \`value\`) VALUES ('new', 1)${end}`)
  say(a, 'BEGIN')
  insert(a)
  const plain = insert(b)
  const keeping = insert(c, ' ON CONFLICT DO UPDATE SET `scope` = `scope`')
  t.deepEqual([plain.settled, keeping.settled], [false, false])
  say(a, 'COMMIT')
  await scheduler.run()
  t.is(plain.error?.errno, 1062)
  t.is(keeping.answer?.affected, 1)
})

test('who would come by a row that is locked waits, whatever it asks of the row; who keeps a row that is there locks it', async t => {
  const { scheduler, say, set, get, value, committed, a, b, c } = await served()
  say(a, 'BEGIN')
  set(a, 'x', 1)
  const guarded = say(b, 'UPDATE `usage_counter` SET `value` = 2 WHERE `scope` = ? AND `value` = 1', 'x')
  t.false(guarded.settled)
  say(a, 'COMMIT')
  await scheduler.run({ untilMs: 1 })
  t.is(guarded.answer?.affected, 1)
  t.is(committed('x'), 2)
  say(a, 'BEGIN')
  say(
    a,
    'INSERT INTO `usage_counter` (`scope`, `value`) VALUES (?, 9) ON CONFLICT DO UPDATE SET `scope` = `scope`',
    'x',
  )
  t.is(committed('x'), 2)
  const locking = get(b, 'x', ' /*update*/')
  const plain = get(c, 'x')
  t.false(locking.settled)
  t.is(value(plain), 2)
  say(a, 'ROLLBACK')
  await scheduler.run({ untilMs: 2 })
  t.is(value(locking), 2)
})

test('the end of a connection undoes its transaction and frees its locks and names', async t => {
  const { scheduler, server, say, set, committed, a, b, c } = await served()
  t.deepEqual(say(a, 'SELECT GET_LOCK(?, 1) AS got', 'name').answer?.rows, [{ got: 1 }])
  const name = say(b, 'SELECT GET_LOCK(?, 1) AS got', 'name')
  say(a, 'BEGIN')
  set(a, 'x', 1)
  const waiting = set(c, 'x', 2)
  t.false(name.settled)
  t.deepEqual(
    say(server.connect(['d']), 'SHOW PROCESSLIST').answer?.rows.map(row => (row as { Id: number }).Id),
    [1, 2, 3, 4],
  )
  let told = 0
  a.onEnd = () => told++
  const killer = server.connect(['e'])
  t.is(say(killer, `KILL ${a.id}`).error, null)
  t.is(say(killer, `KILL ${a.id}`).error?.errno, 1094)
  await scheduler.run({ untilMs: 1 })
  t.is(told, 1)
  t.deepEqual(name.answer?.rows, [{ got: 1 }])
  t.is(waiting.answer?.affected, 1)
  t.is(committed('x'), 2)
  t.false(say(a, 'COMMIT').settled)
})

test('a name that is held is waited for a second', async t => {
  const { scheduler, say, a, b } = await served()
  say(a, 'SELECT GET_LOCK(?, 1) AS got', 'name')
  const waiting = say(b, 'SELECT GET_LOCK(?, 1) AS got', 'name')
  await scheduler.run()
  t.deepEqual(waiting.answer?.rows, [{ got: 0 }])
  t.is(scheduler.nowMs, 1000)
  t.deepEqual(say(a, 'SELECT RELEASE_LOCK(?) AS released', 'name').answer?.rows, [{ released: 1 }])
  t.deepEqual(say(b, 'SELECT RELEASE_LOCK(?) AS released', 'name').answer?.rows, [{ released: 0 }])
})
