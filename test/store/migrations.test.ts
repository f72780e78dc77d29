/** Expand, then contract: what the build before this one uses stays, and what it does not know does not stand in its way. */
import { join } from 'node:path'
import type { Migration } from '@mikro-orm/migrations'
import test from 'ava'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { migrationsList } from '../../src/store/migrations/index.ts'
import { MySqlConnector } from '../../src/store/mysql.ts'
import { SqliteConnector } from '../../src/store/sqlite.ts'
import type { OrmConnector } from '../../src/store/store.ts'
import { eventually } from '../support/conditions.ts'
import { type Teardown, temporaryFolder } from '../support/folders.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { previous } from '../support/releases/releases.ts'

const databases = mysqlDatabases(test)

const connectors: Readonly<Record<string, (t: Teardown & { log(text: string): void }) => Promise<OrmConnector>>> = {
  sqlite: async t => new SqliteConnector(join(await temporaryFolder(t, 'migrations'), 'lens.db')),
  mysql: async t =>
    new MySqlConnector({
      url: await databases.create(t as never),
      connectionsMax: 2,
      silenceMs: 60_000,
      connectMs: 10_000,
    }),
}

/** What of these statements the build before this one could trip over; `made`: tables that it does not know. */
export function contractions(statements: readonly string[], made: Set<string> = new Set()): string[] {
  return statements.filter(sql => {
    const created = /^create table if not exists `(\w+)` \(/.exec(sql)?.[1]
    if (created !== undefined) {
      made.add(created)
      return false
    }
    if (/^create index if not exists `\w+` on `\w+` \([^;]*\)$/.test(sql)) return false
    if (/^alter table `\w+` add (?:index|key) `\w+` \([^;]*\)$/.test(sql)) return false
    const column = /^alter table `\w+` add column `\w+` (?<type>[^;,]*)$/.exec(sql)?.groups?.type
    if (column !== undefined)
      return !/(?<! not) null$| not null default \S+$/.test(column) || /\bunique\b/i.test(column)
    const filled = /^insert into `(\w+)` /.exec(sql)?.[1]
    return filled === undefined || !made.has(filled)
  })
}

for (const [name, connectorOf] of Object.entries(connectors))
  test(`${name}: no migration since the build before this one drops, renames or narrows anything`, async t => {
    const newer = migrationsList.slice(migrationsList.findIndex(({ name: one }) => one === previous.lastMigration) + 1)
    t.true(newer.length > 0 && newer.length < migrationsList.length)
    const connector = await connectorOf(t)
    t.teardown(() => connector.close())
    await connector.connect()
    await connector.orm.migrator.up({ to: previous.lastMigration })
    const made = new Set<string>()
    for (const { name: migration, class: Made } of newer) {
      const { orm } = connector
      const one: Migration = new Made(orm.em.getDriver() as never, orm.config)
      await one.up()
      const statements = one.getQueries().map(String)
      t.true(statements.length > 0, migration)
      t.deepEqual(contractions(statements, made), [], migration)
    }
    await connector.migrate()
    await connector.migrate()
  })

test('mysql: a transaction that nobody ends keeps the schema from being changed, and nobody from working', async t => {
  const url = await databases.create(t)
  const connector = new MySqlConnector({ url, connectionsMax: 2, silenceMs: 60_000, connectMs: 10_000 })
  t.teardown(() => connector.close())
  await connector.connect()
  await connector.orm.migrator.up({ to: '0006-webhooks' })
  const [forgotten, client] = [await createConnection(url), await createConnection(url)]
  for (const connection of [forgotten, client]) t.teardown(() => connection.destroy())
  await forgotten.beginTransaction()
  await forgotten.query('SELECT COUNT(*) FROM current_query')

  const migrating = t.throwsAsync(connector.migrate(), { code: 'STORE_UNAVAILABLE' })
  await eventually(
    () => client.query<RowDataPacket[]>("SELECT id FROM information_schema.processlist WHERE info LIKE 'alter table%'"),
    ([rows]) => rows.length > 0,
    { what: 'a change of the schema that waits' },
  )
  // Behind the change, which stands behind what was forgotten.
  await client.query('SELECT COUNT(*) FROM current_query')
  await migrating

  await forgotten.rollback()
  await connector.migrate()
  await client.query('SELECT trace_parent FROM current_query')
  t.pass()
})

test('what would break the build before this one is told from what would not', t => {
  const fine = [
    'create table if not exists `new` (`id` bigint not null, primary key (`id`))',
    'insert into `new` (`id`) select 1 from (select 1 as one) as single where not exists (select 1 from `new`)',
    'alter table `session` add column `admin` bigint not null default 0',
    'alter table `session` add column `label` varchar(255) character set utf8mb4 null',
    'create index if not exists `session_by_admin` on `session` (`admin`)',
  ]
  t.deepEqual(contractions(fine), [])
  const broken = [
    'drop table `session`',
    'alter table `session` drop column `user`',
    'alter table `session` rename column `user` to `owner`',
    'alter table `session` modify `user` bigint not null',
    'alter table `session` add column `must` bigint not null',
    'alter table `session` add column `a` bigint null, drop column `user`',
    'rename table `session` to `sessions`',
    'create unique index `one_name` on `session` (`user`)',
    'update `session` set `user` = 1',
    'delete from `session`',
    'insert into `lease` (`id`) values (2)',
  ]
  t.deepEqual(contractions(broken), broken)
})
