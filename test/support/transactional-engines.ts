/**
 * Engines whose writing statements commit together with their outcome, each with a way to it that a test can hold at any moment around
 * the commit: what tests over whole nodes do with one of them they do with all.
 */
import type { TestFn } from 'ava'
import { createConnection, type ResultSetHeader, type RowDataPacket } from 'mysql2/promise'
import pg from 'pg'
import type { Teardown } from './folders.ts'
import type { HoldingProxy, Matches } from './holding-proxy.ts'
import { createDatabase, MySqlServer } from './mysql.ts'
import * as mysql from './mysql-engine-proxy.ts'
import * as postgres from './postgres-proxy.ts'
import { postgresDatabases } from './postgresql.ts'

/** Around the commit of a writing statement, in their order: what is on its way, and what has been done while its answer is on its way. */
export const moments = [
  'the outcome on its way',
  'the outcome written',
  'the statement on its way',
  'the statement done',
  'the commit on its way',
  'the commit done',
] as const
export type Moment = (typeof moments)[number]

export interface HeldMoment {
  /** Resolves when the moment has come; nothing goes on after it. */
  readonly first: Promise<unknown>
  /** All that was held is passed on. */
  release(): void
}

/** A node's way to the engine. */
export interface EngineWay {
  /** Of the node's environment. */
  readonly env: Readonly<Record<string, string>>
  hold(moment: Moment): HeldMoment
}

export interface TransactionalEngine {
  readonly name: string
  /** Starts it and makes an empty table `items` of integers, `a`; once. Gives the environment of a node that goes straight to it. */
  open(): Promise<Readonly<Record<string, string>>>
  /** Gone with the test. */
  way(t: Teardown): Promise<EngineWay>
  /** Puts the numbers 1 to `count` into `items`; `more` is said behind it. */
  insert(count: number, more?: string): string
  /** Takes this long, and puts ten rows of this number into `items`. */
  insertSlowly(number: number, seconds: number): string
  /** How many rows `items` has of each number. */
  counts(): Promise<ReadonlyMap<number, number>>
  /** It dies, and comes back on what it had. */
  restart(): Promise<void>
  /** Runs for minutes, and puts one row into `items`. */
  readonly endlessInsert: string
  /** Runs for minutes, reads only, and gives one row. */
  readonly endlessQuery: string
  /** Whether the engine still runs a statement with this text in it. */
  runs(text: string): Promise<boolean>
  /** How many rows are in `items`, which then is emptied. */
  taken(): Promise<number>
}

/** Every node's engine, and nothing else: statements that name none go to it. */
function environmentOf(driver: string, url: string): Record<string, string> {
  return { LENS_ENGINES_APP_DRIVER: driver, LENS_ENGINES_APP_URL: url }
}

/** Which of an engine's messages are which. */
interface Words {
  readonly isOutcome: Matches
  readonly isExecution: Matches
  readonly isCommit: Matches
}

function wayThrough(
  proxy: HoldingProxy,
  env: Readonly<Record<string, string>>,
  { isOutcome, isExecution, isCommit }: Words,
): EngineWay {
  const at: Readonly<Record<Moment, readonly ['hold' | 'holdAnswer', Matches]>> = {
    'the outcome on its way': ['hold', isOutcome],
    'the outcome written': ['holdAnswer', isOutcome],
    'the statement on its way': ['hold', isExecution],
    'the statement done': ['holdAnswer', isExecution],
    'the commit on its way': ['hold', isCommit],
    'the commit done': ['holdAnswer', isCommit],
  }
  return {
    env,
    hold(moment) {
      const [how, matches] = at[moment]
      return proxy[how](matches)
    },
  }
}

/** Call at the top of a test file: its server ends after the last test. */
export function mariaDbEngine(test: TestFn): TransactionalEngine {
  let server: Promise<MySqlServer> | undefined
  let url: Promise<string> | undefined
  test.after.always('stop MariaDB', async () => {
    await (await server)?.destroy()
  })
  const opened = () => {
    server ??= MySqlServer.start()
    // Its server goes with it.
    url ??= server.then(started => createDatabase({ teardown: () => {} }, started.url))
    return url
  }
  const ask = async <T extends ResultSetHeader | RowDataPacket[]>(sql: string, values: readonly unknown[] = []) => {
    const connection = await createConnection({ uri: await opened() })
    try {
      const [result] = await connection.query<T>(sql, [...values])
      return result
    } finally {
      connection.destroy()
    }
  }
  return {
    name: 'MariaDB',
    async open() {
      await ask('CREATE TABLE items (a integer)')
      return environmentOf('mysql', await opened())
    },
    async way(t) {
      const target = await opened()
      const proxy = await mysql.MySqlEngineProxy.start(t, Number(new URL(target).port))
      return wayThrough(proxy, environmentOf('mysql', proxy.through(target)), mysql)
    },
    insert: (count, more = '') =>
      `INSERT INTO items WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < ${count}) SELECT a FROM n ${more}`,
    insertSlowly: (number, seconds) =>
      `INSERT INTO items WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 10) SELECT ${number} + SLEEP(${seconds / 10}) FROM n`,
    async counts() {
      const rows = await ask<RowDataPacket[]>('SELECT a, COUNT(*) AS n FROM items GROUP BY a')
      return new Map(rows.map(({ a, n }) => [Number(a), Number(n)]))
    },
    async restart() {
      const running = await server
      await running?.kill()
      await running?.start()
    },
    endlessInsert: 'INSERT INTO items SELECT SLEEP(600)',
    endlessQuery: 'SELECT SLEEP(599)',
    async runs(text) {
      const rows = await ask<RowDataPacket[]>(
        "SELECT 1 FROM information_schema.PROCESSLIST WHERE COMMAND <> 'Sleep' AND LOCATE(?, INFO) > 0 AND ID <> CONNECTION_ID()",
        [text],
      )
      return rows.length > 0
    },
    async taken() {
      return (await ask<ResultSetHeader>('DELETE FROM items')).affectedRows
    },
  }
}

/** Call at the top of a test file: its server ends after the last test. */
export function postgreSqlEngine(test: TestFn): TransactionalEngine {
  // What it said was committed must be there after it died.
  const databases = postgresDatabases(test, ['synchronous_commit=on'])
  let url: Promise<string> | undefined
  const opened = () => {
    url ??= databases.create()
    return url
  }
  const ask = async (sql: string) => {
    const client = new pg.Client({ connectionString: await opened() })
    await client.connect()
    try {
      return (await client.query(sql)).rows
    } finally {
      await client.end()
    }
  }
  return {
    name: 'PostgreSQL',
    async open() {
      await ask('CREATE TABLE items (a integer)')
      return environmentOf('postgresql', await opened())
    },
    async way(t) {
      const proxy = await postgres.PostgresProxy.start(t, (await databases.server()).port)
      return wayThrough(proxy, environmentOf('postgresql', proxy.through(await opened())), postgres)
    },
    insert: (count, more = '') => `INSERT INTO items SELECT generate_series(1, ${count}) ${more}`,
    insertSlowly: (number, seconds) =>
      `INSERT INTO items SELECT ${number} FROM generate_series(1, 10), pg_sleep(${seconds})`,
    async counts() {
      const rows = await ask('SELECT a, count(*)::integer AS n FROM items GROUP BY a')
      return new Map(rows.map(({ a, n }) => [a, n]))
    },
    restart: async () => (await databases.server()).restart(),
    endlessInsert: 'INSERT INTO items SELECT 1 FROM pg_sleep(600)',
    endlessQuery: 'SELECT count(*) FROM pg_sleep(599)',
    async runs(text) {
      const quoted = text.replaceAll("'", "''")
      const rows = await ask(
        `SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND position('${quoted}' IN query) > 0 AND pid <> pg_backend_pid()`,
      )
      return rows.length > 0
    },
    async taken() {
      const [found] = await ask('WITH gone AS (DELETE FROM items RETURNING 1) SELECT count(*)::integer AS n FROM gone')
      return found.n
    },
  }
}
