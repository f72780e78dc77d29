/** A thread of the runner: worlds one after the other, as they are asked for. */
import { parentPort } from 'node:worker_threads'
import { type RunSettings, runWorld } from './run-world.ts'

parentPort?.on('message', ({ seed, settings }: { seed: string; settings: RunSettings }) => {
  runWorld(seed, settings).then(
    report => parentPort?.postMessage({ seed, report }),
    error => parentPort?.postMessage({ seed, error: (error as Error).stack }),
  )
})
