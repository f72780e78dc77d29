/**
 * Entry of the heartbeat's thread: a `BeatLoop` with a database connection of its own. What changes often (ticks, load)
 * comes through shared memory, so that neither thread waits for the other; what changes rarely comes as messages.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { systemClock, systemRandom } from '../async/index.ts'
import { BeatLoop } from './beat-loop.ts'
import {
  type HeartbeatMessage,
  type HeartbeatOrder,
  type HeartbeatWorkerData,
  type LeaseModuleExports,
  SharedIndex,
} from './heartbeat.ts'

const port = parentPort
if (!port) throw new Error('this file is the entry of a worker thread')
const { lease, shared, heartbeatMs, attemptMs } = workerData as HeartbeatWorkerData
const numbers = new Int32Array(shared)

const say = (message: HeartbeatMessage) => port.postMessage(message)
const { openLeaseStore } = (await import(lease.moduleUrl)) as LeaseModuleExports

const loop = new BeatLoop({
  open: async () => openLeaseStore(lease.options),
  clock: systemClock,
  random: systemRandom,
  heartbeatMs,
  attemptMs,
  ticks: () => Atomics.load(numbers, SharedIndex.ticks),
  load: () => ({
    running: Atomics.load(numbers, SharedIndex.running),
    queued: Atomics.load(numbers, SharedIndex.queued),
  }),
  report: report => say({ type: 'beat', report }),
})

port.on('message', (order: HeartbeatOrder) => {
  switch (order.type) {
    case 'act':
      return loop.act(order.identity)
    case 'lead':
      return loop.lead(order.term)
    case 'beat-now':
      return loop.beatNow()
    case 'stop':
      void loop.stop().finally(() => port.close())
  }
})
loop.start()
say({ type: 'ready' })
