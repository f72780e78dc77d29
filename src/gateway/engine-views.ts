/** The engines as clients see them: health, and how much of this node's work is on each. */
import type { QueryHost } from '../actors/index.ts'
import { type EngineView, LensError, type TableView } from '../domain/index.ts'
import type { Engines } from '../engines/index.ts'

export function engineViews({ drivers }: Engines, { lanes }: QueryHost): EngineView[] {
  const inUse = [...lanes.inUse()]
  return drivers.map(driver => {
    const { name, group } = driver
    let running = 0
    for (const [key, count] of inUse) if (key.startsWith(`${name} `)) running += count
    const queued = lanes.waiting(name, 'light') + lanes.waiting(name, 'heavy')
    return { name, driver: driver.driver, group, healthy: driver.healthy(), running, queued }
  })
}

/** Rejects with NOT_FOUND where no engine has that name. */
export async function tablesOf({ drivers }: Engines, engine: string): Promise<readonly TableView[]> {
  const driver = drivers.find(({ name }) => name === engine)
  if (!driver) throw new LensError('NOT_FOUND', 'There is no such engine.')
  return driver.tables()
}
