/**
 * The one DuckDB database of an engine process: in memory, with a view per table, closed against everything else before the
 * first statement of a client arrives.
 *
 *     links ──▶ views ──▶ allowed_paths ──▶ external access off ──▶ configuration locked
 */
import { mkdirSync, realpathSync, symlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { type DuckDBConnection, DuckDBInstance, type DuckDBPreparedStatement } from '@duckdb/node-api'
import type { TableView } from '../../domain/index.ts'
import { StatementGuard } from './guard.ts'
import type { OpenMessage } from './protocol.ts'
import { quotedText, viewStatement } from './tables.ts'

/**
 * Connections opened beforehand, at the most. Those opened later, when all are taken, cannot report progress: that is a
 * setting of each connection, and settings are locked by then.
 */
const pooledMax = 64

export class EngineDatabase {
  readonly tables: readonly TableView[]
  readonly guard: StatementGuard
  readonly #instance: DuckDBInstance
  readonly #spare: Lease[]

  constructor(instance: DuckDBInstance, pool: readonly Lease[], tables: readonly TableView[], guard: StatementGuard) {
    this.#instance = instance
    this.#spare = [...pool]
    this.tables = tables
    this.guard = guard
  }

  /** The working directory is `open.folder`: relative paths are the only ones that DuckDB is ever told. */
  static async open(open: OpenMessage): Promise<EngineDatabase> {
    for (const table of open.tables) {
      mkdirSync(dirname(`tables/${table.link}`), { recursive: true })
      symlinkSync(table.target, `tables/${table.link}`)
    }
    const instance = await DuckDBInstance.create(':memory:', {
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
      allow_community_extensions: 'false',
      allow_unsigned_extensions: 'false',
      allow_persistent_secrets: 'false',
      temp_directory: 'spill',
      ...(open.memoryBytesMax === null ? {} : { memory_limit: `${open.memoryBytesMax}B` }),
      ...(open.threads === null ? {} : { threads: `${open.threads}` }),
    })
    const connection = await instance.connect()
    for (const table of open.tables) await connection.run(viewStatement(table))
    const columns = await rowsOf(
      connection,
      'SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY table_name, column_index',
    )
    const systemViews = await rowsOf(
      connection,
      "SELECT CASE schema_name WHEN 'main' THEN '' ELSE schema_name || '.' END || view_name FROM duckdb_views() WHERE internal",
    )
    const files = [...new Set(open.tables.flatMap(table => table.files.flatMap(file => [file, realpathSync(file)])))]
    for (const statement of [
      "SET GLOBAL TimeZone = 'UTC'",
      `SET GLOBAL allowed_paths = [${files.map(quotedText).join(', ')}]`,
      'SET GLOBAL enable_external_access = false',
    ])
      await connection.run(statement)
    const pool: Lease[] = []
    for (let count = Math.min(pooledMax, open.connections); count > 0; count--) {
      const pooled = await instance.connect()
      await pooled.run(
        'SET enable_progress_bar = true; SET enable_progress_bar_print = false; SET progress_bar_time = 0',
      )
      pool.push(await leaseOf(pooled, true))
    }
    await connection.run('SET GLOBAL lock_configuration = true')
    connection.closeSync()
    const views = open.tables.map(({ name }) => ({
      name,
      columns: columns
        .filter(([table]) => table === name)
        .map(([, column, type]) => ({ name: `${column}`, type: `${type}` })),
    }))
    return new EngineDatabase(
      instance,
      pool,
      views,
      new StatementGuard(systemViews.map(([name]) => `${name}`.toLowerCase())),
    )
  }

  /** A connection for one statement; to be given back by `release`. */
  async lease(): Promise<Lease> {
    return this.#spare.pop() ?? (await leaseOf(await this.#instance.connect(), false))
  }

  /** `clean`: the statement was read to its end. What an abandoned one still holds is let go by the next on its connection. */
  async release(lease: Lease, clean: boolean): Promise<void> {
    if (lease.pooled) {
      try {
        if (!clean) await lease.connection.run('SELECT 1')
        this.#spare.push(lease)
        return
      } catch {
        // Unusable: closed below.
      }
    }
    lease.connection.closeSync()
  }
}

export interface Lease {
  readonly connection: DuckDBConnection
  /** DuckDB's parser, prepared. */
  readonly serializer: DuckDBPreparedStatement
  /** Opened before the configuration was locked: reports progress, and is kept. */
  readonly pooled: boolean
}

async function leaseOf(connection: DuckDBConnection, pooled: boolean): Promise<Lease> {
  const serializer = await connection.prepare(
    'SELECT json_serialize_sql($1::VARCHAR, skip_default := true, skip_null := true, skip_empty := true)',
  )
  return { connection, serializer, pooled }
}

export async function serialize(lease: Lease, sql: string): Promise<string> {
  lease.serializer.bindVarchar(1, sql)
  const [row] = await (await lease.serializer.run()).getRows()
  return `${row?.[0]}`
}

async function rowsOf(connection: DuckDBConnection, sql: string): Promise<readonly (readonly unknown[])[]> {
  return (await connection.run(sql)).getRows()
}
