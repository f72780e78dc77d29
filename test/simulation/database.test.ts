/** The simulated database does what every store does. */
import test from 'ava'
import { storeConformance } from '../conformance/store.ts'
import { addWay } from '../conformance/store-fixtures.ts'
import { simulatedDatabase } from './database.ts'
import type { SimulatedDatabase } from './database-contract.ts'
import { inRealTime } from './real-time.ts'
import { Scheduler } from './scheduler.ts'

let numbers = 0
const worlds = new Map<string, { readonly scheduler: Scheduler; readonly database: SimulatedDatabase }>()

function worldOf(url: string) {
  const world = worlds.get(url)
  if (!world) throw new Error(`no simulated database ${url}`)
  return world
}

addWay('simulated', {
  storeOf(url, retryMs, more) {
    const { scheduler, database } = worldOf(url)
    return database.storeOf(scheduler.process('node'), { retryMs, ...more })
  },
  leasesOf(url, attemptMs) {
    const { scheduler, database } = worldOf(url)
    return database.leasesOf(scheduler.process('heartbeat'), attemptMs)
  },
})

storeConformance(test, {
  name: 'simulated',
  fresh: async t => {
    const url = `simulated:${++numbers}`
    const scheduler = new Scheduler({
      seed: url,
      startsAtMs: Date.now(),
      preemption: { chance: 0.05, delayMsMax: 2 },
    })
    const database = await simulatedDatabase(scheduler)
    worlds.set(url, { scheduler, database })
    t.teardown(() => database.close())
    inRealTime(t, scheduler)
    return url
  },
  execute: async (url, sql) => {
    worldOf(url).database.committed(sql)
  },
})
