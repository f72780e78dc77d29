/** A database of a simulated world: the server, the way to it, and what can be wrong with both. */
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import type { LeaseStore } from '../../src/store/contract.ts'
import type { Store } from '../../src/store/index.ts'
import { SqliteConnector } from '../../src/store/sqlite.ts'
import { openStoreOn } from '../../src/store/store.ts'
import { SimulatedConnector } from './database-connector.ts'
import type {
  DatabaseFaults,
  SimulatedDatabase,
  SimulatedHeartbeat,
  SimulatedHeartbeatOptions,
  SimulatedStoreOptions,
} from './database-contract.ts'
import { FaultList } from './database-faults.ts'
import { DatabaseServer } from './database-server.ts'
import { DatabaseWire } from './database-wire.ts'
import { ProcessHeartbeat } from './heartbeat.ts'
import { SimulatedLeases } from './leases.ts'
import type { SimulatedProcess } from './process.ts'
import type { Scheduler } from './scheduler.ts'

const connectionsMax = 8
const retryMs = 10_000
/** As the store has them for MySQL. */
const silenceSlackMs = 1000
const connectMs = 3000

let schema: Promise<Uint8Array> | undefined

/** An SQLite with the schema that the migrations make; made once. */
export async function emptyDatabase(): Promise<DatabaseSync> {
  schema ??= migratedSchema()
  const database = new DatabaseSync(':memory:')
  database.deserialize(await schema)
  database.exec('PRAGMA temp_store = MEMORY')
  return database
}

async function migratedSchema(): Promise<Uint8Array> {
  const connector = new SqliteConnector(':memory:')
  await connector.connect()
  await connector.migrate()
  const rows = await connector.statements.rows<{ type: string; name: string; sql: string | null }>(
    "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type DESC",
  )
  const copy = new DatabaseSync(':memory:')
  for (const { sql } of rows) if (sql !== null) copy.exec(sql)
  for (const { name, type } of rows)
    if (type === 'table')
      for (const row of await connector.statements.rows<Record<string, SQLInputValue>>(`SELECT * FROM \`${name}\``)) {
        const columns = Object.keys(row)
        copy
          .prepare(`INSERT INTO \`${name}\` (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`)
          .run(...Object.values(row))
      }
  await connector.close()
  const bytes = copy.serialize()
  copy.close()
  return bytes
}

export async function simulatedDatabase(scheduler: Scheduler): Promise<SimulatedDatabase> {
  return new ServedDatabase(scheduler, await emptyDatabase())
}

class ServedDatabase implements SimulatedDatabase {
  readonly faults: DatabaseFaults
  readonly #scheduler: Scheduler
  readonly #sqlite: DatabaseSync
  readonly #server: DatabaseServer
  readonly #wire: DatabaseWire

  constructor(scheduler: Scheduler, sqlite: DatabaseSync) {
    this.#scheduler = scheduler
    this.#sqlite = sqlite
    this.#server = new DatabaseServer(scheduler, sqlite)
    const faults = new FaultList(scheduler, scheduler.random.fork('database faults'))
    this.#wire = new DatabaseWire(scheduler, this.#server, faults, scheduler.random.fork('database wire'))
    this.faults = faultsOf(scheduler, this.#server, this.#wire, faults)
  }

  get commits(): number {
    return this.#server.commits
  }

  get nowMs(): number {
    return this.#server.nowMs
  }

  get statements(): number {
    return this.#server.statements
  }

  storeOf(process: SimulatedProcess, options: SimulatedStoreOptions = {}): Store {
    const retry = options.retryMs ?? retryMs
    const silenceMs = retry + silenceSlackMs
    const connector = new SimulatedConnector({
      wire: this.#wire,
      process,
      connectionsMax: Math.max(2, options.connectionsMax ?? connectionsMax),
      silenceMs,
      connectMs: Math.min(connectMs, silenceMs),
    })
    const { clock, random } = process
    return openStoreOn(connector, {
      retryMs: retry,
      clock,
      random,
      logger: options.logger,
      downgrades: options.downgrades,
      webhooks: options.webhooks,
    })
  }

  leasesOf(process: SimulatedProcess, attemptMs: number): LeaseStore {
    return new SimulatedLeases(this.#wire, process, [process.name], attemptMs)
  }

  heartbeatOf(process: SimulatedProcess, options: SimulatedHeartbeatOptions): SimulatedHeartbeat {
    const thread = this.#scheduler.process(`${process.name}.heartbeat`)
    const names = [thread.name, process.name]
    return new ProcessHeartbeat(
      process,
      thread,
      () => new SimulatedLeases(this.#wire, thread, names, options.attemptMs),
      options,
    )
  }

  committed<Row extends object>(sql: string, ...values: (string | number | null)[]): Row[] {
    return this.#server.committed(sql, values) as Row[]
  }

  close(): void {
    this.#sqlite.close()
  }
}

function faultsOf(scheduler: Scheduler, server: DatabaseServer, wire: DatabaseWire, faults: FaultList): DatabaseFaults {
  const restart = (downMs: number) => {
    faults.downUntilMs = Math.max(faults.downUntilMs, scheduler.nowMs + downMs)
    wire.breakConnections()
  }
  return {
    inject: fault => faults.inject(fault),
    breakConnections: processes => wire.breakConnections(processes),
    restart,
    stall(forMs) {
      faults.stalledUntilMs = Math.max(faults.stalledUntilMs, scheduler.nowMs + forMs)
    },
    cutOff: (processes, forMs) => faults.cut(processes, forMs),
    failOver(downMs) {
      server.identity = `server-${Number(server.identity.slice('server-'.length)) + 1}`
      restart(downMs)
    },
    jumpClock(byMs) {
      server.clockOffsetMs += byMs
    },
    clear: () => faults.clear(),
  }
}
