/** The engines of a node: built from the configuration, chosen by name or group. The only door to this folder. */
import { type Clock, type Random, startInOrder, stopInReverse } from '../async/index.ts'
import type { EngineDriver, EngineLogger, Engines } from './contract.ts'
import { type DuckDbConfiguration, DuckDbDriver } from './duckdb/driver.ts'
import { type MySqlConfiguration, MySqlDriver } from './mysql/driver.ts'
import { type PostgreSqlConfiguration, PostgreSqlDriver } from './postgresql/driver.ts'
import { type TrinoConfiguration, TrinoDriver } from './trino/driver.ts'

export * from './contract.ts'
export type { DuckDbConfiguration } from './duckdb/driver.ts'
export type { MySqlConfiguration } from './mysql/driver.ts'
export type { PostgreSqlConfiguration } from './postgresql/driver.ts'
export type { TrinoConfiguration } from './trino/driver.ts'

/** The keys of all drivers; which of them are there, `driver` says. */
export type EngineConfiguration = Pick<DuckDbConfiguration, 'group' | 'slots'> &
  Partial<Omit<DuckDbConfiguration, 'driver'>> &
  Partial<Omit<MySqlConfiguration, 'driver'>> &
  Partial<Omit<PostgreSqlConfiguration, 'driver'>> &
  Partial<Omit<TrinoConfiguration, 'driver'>> & {
    readonly driver: 'duckdb' | 'mysql' | 'postgresql' | 'trino'
    /** In place of the one in the URL. */
    readonly password?: string
  }

export interface EnginesConfiguration {
  /** By name, in order: the first is the default. */
  readonly engines: Readonly<Record<string, EngineConfiguration>>
}

export interface EngineDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly logger: EngineLogger
  /** An engine's process, this node's own, died; another one is started. */
  readonly onProcessDeath?: (engine: string) => void
}

/** Builds the drivers; nothing is opened before `start`. */
export function openEngines(configuration: EnginesConfiguration, dependencies: EngineDependencies): Engines {
  const drivers = Object.entries(configuration.engines).map(([name, engine]) => driverOf(name, engine, dependencies))
  return enginesOf(drivers)
}

/** Drivers load what they drive when they are started: a node without such an engine is none the larger. */
function driverOf(name: string, engine: EngineConfiguration, dependencies: EngineDependencies): EngineDriver {
  switch (engine.driver) {
    case 'duckdb':
      return new DuckDbDriver(name, { ...engine, driver: 'duckdb', tables: engine.tables ?? {} }, dependencies)
    case 'mysql':
      return new MySqlDriver(name, { ...engine, driver: 'mysql', url: urlOf(name, engine) }, dependencies)
    case 'postgresql':
      return new PostgreSqlDriver(name, { ...engine, driver: 'postgresql', url: urlOf(name, engine) }, dependencies)
    case 'trino':
      return new TrinoDriver(name, { ...engine, driver: 'trino', url: urlOf(name, engine) }, dependencies)
  }
}

/** Where the server is, with the password that stands beside the URL. */
function urlOf(name: string, { url, password }: EngineConfiguration): string {
  if (url === undefined) throw new Error(`the engine ${name} has no url`)
  if (password === undefined) return url
  const parsed = new URL(url)
  parsed.password = encodeURIComponent(password)
  return parsed.href
}

/** The same over drivers that exist already. */
export function enginesOf(drivers: readonly EngineDriver[]): Engines {
  const byName = new Map(drivers.map(driver => [driver.name, driver]))
  const candidates = (name: string | null, except: string | null): readonly EngineDriver[] => {
    const named = name === null ? drivers[0] : byName.get(name)
    if (named && named.name !== except) return [named]
    const group = named ? named.group : name
    const members = drivers.filter(driver => group !== null && driver.group === group)
    const others = members.filter(driver => driver.name !== except)
    const possible = others.length > 0 ? others : named ? [named] : members
    const healthy = possible.filter(driver => driver.healthy())
    return healthy.length > 0 ? healthy : possible
  }
  return {
    drivers,
    candidates,
    choose: name => candidates(name, null)[0],
    start: () => startInOrder(drivers),
    stop: () => stopInReverse(drivers),
  }
}
