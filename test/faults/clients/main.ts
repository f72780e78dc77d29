/** A process of clients: its settings are its one argument, `stop` is its only message; it ends when all it began has ended. */
import { SeededRandom } from '../../simulation/random.ts'
import { Recorder } from './recorder.ts'
import type { ClientSettings } from './settings.ts'
import { type Known, Worker } from './worker.ts'

const { name, seed, file, nodes, users, workers, pauseMs }: ClientSettings = JSON.parse(process.argv[2] as string)
const random = new SeededRandom(`${seed}/${name}`)
const recorder = new Recorder(file, name)
const known: Known = { sessions: [], handles: [] }
const all = Array.from({ length: workers }, (_, index) => {
  const client = `${name}-${index}`
  const user = users[index % users.length] as string
  return new Worker({ client, user, nodes, random: random.fork(client), recorder, known, pauseMs })
})
process.on('message', message => {
  if (message === 'stop') for (const worker of all) worker.stop()
})
// Without its parent nobody wants its history.
process.once('disconnect', () => process.exit(1))
await Promise.all(all.map(worker => worker.run()))
await recorder.end()
process.exit(0)
