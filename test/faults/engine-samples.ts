/** What engines do when nothing should be left to do: what the node says, and what the system says of the engine's processes. */
import { setTimeout } from 'node:timers/promises'
import { engineProcessesOf, processorTicksOf } from '../support/engine-processes.ts'
import { type EngineSampleRecord, monotonicMs } from './history.ts'

const watchedMs = 500
/** A process that works has most of that; one that waits for work some thousandths. */
const busyTicks = 10

interface Watched {
  readonly name: string
  readonly pid: number
}

/** `told`: engines and what they run, as the node says. The node's engine process that works counts as one more. */
export async function engineSamples(
  node: Watched,
  told: readonly { readonly engine: string; readonly running: number }[],
): Promise<EngineSampleRecord[]> {
  const before = engineProcessesOf(node.pid).map(pid => ({ pid, ticks: processorTicksOf(pid) }))
  await setTimeout(watchedMs)
  const busy = before.filter(({ pid, ticks }) => processorTicksOf(pid) - ticks > busyTicks)
  const atMs = monotonicMs()
  const sample = (engine: string, running: number): EngineSampleRecord => ({
    ...{ record: 'engine-sample', atMs, engine, node: node.name, running },
  })
  return [...told.map(({ engine, running }) => sample(engine, running)), sample('its processes', busy.length)]
}
