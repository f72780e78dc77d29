/** The engines of a node: built from the configuration, chosen by name or group. The only door to this folder. */
import { type Clock, type Random, startInOrder, stopInReverse } from '../async/index.ts'
import type { EngineDriver, EngineLogger, Engines } from './contract.ts'
import { type DuckDbConfiguration, DuckDbDriver } from './duckdb/driver.ts'

export * from './contract.ts'
export type { DuckDbConfiguration } from './duckdb/driver.ts'

export interface EnginesConfiguration {
  /** By name, in order: the first is the default. */
  readonly engines: Readonly<Record<string, DuckDbConfiguration>>
}

export interface EngineDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly logger: EngineLogger
}

/** Builds the drivers; nothing is opened before `start`. */
export function openEngines(configuration: EnginesConfiguration, dependencies: EngineDependencies): Engines {
  const drivers = Object.entries(configuration.engines).map(
    ([name, engine]) => new DuckDbDriver(name, engine, dependencies),
  )
  return enginesOf(drivers)
}

/** The same over drivers that exist already. */
export function enginesOf(drivers: readonly EngineDriver[]): Engines {
  const byName = new Map(drivers.map(driver => [driver.name, driver]))
  return {
    drivers,
    choose(name, except = null) {
      const named = name === null ? drivers[0] : byName.get(name)
      if (named && named.name !== except) return named
      const group = named ? named.group : name
      const candidates = drivers.filter(driver => group !== null && driver.group === group && driver.name !== except)
      return candidates.find(driver => driver.healthy()) ?? candidates[0] ?? named
    },
    start: () => startInOrder(drivers),
    stop: () => stopInReverse(drivers),
  }
}
