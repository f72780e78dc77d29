/**
 * `npm run fuzz -- --minutes N [--seed S] [--only CAMPAIGN]`: rounds of all campaigns, or of one (`requests`, `lens`, `oversized`,
 * `stream`, `peers`, `sockets`, `idle`), on one node, each with a seed of its own, and what the node
 * holds after each. Ends with 1 where something was answered wrongly, or what is held grows from the first third to the last.
 */
import { parseArgs } from 'node:util'
import { fuzzStream } from './frames.ts'
import { fuzzLensBodies } from './lens-bodies.ts'
import { fuzzOversized } from './oversized.ts'
import { fuzzPeerBus } from './peers.ts'
import { fuzzRequests } from './requests.ts'
import { fuzzSockets, holdIdle } from './sockets.ts'
import { type Held, Target } from './target.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    only: { type: 'string' },
    seed: { type: 'string', default: `${Date.now() % 2 ** 31}` },
  },
})
const say = (line: string) => process.stdout.write(`${line}\n`)
const endsAt = performance.now() + Number(values.minutes) * 60_000
/** More than this is not what a collection leaves by chance. */
const growthBytesMax = 12_000_000
const target = await Target.start()
const held: Held[] = []
let sent = 0
let wrong = 0
try {
  for (let seed = Number(values.seed); performance.now() < endsAt; seed++) {
    const campaigns: Readonly<Record<string, () => Promise<number>>> = {
      requests: () => fuzzRequests(target, seed, 40),
      lens: () => fuzzLensBodies(target, seed, 200),
      oversized: () => fuzzOversized(target),
      stream: () => fuzzStream(target, seed, 200),
      peers: () => fuzzPeerBus(target, seed, 200),
      sockets: () => fuzzSockets(target),
      idle: async () => {
        await holdIdle(target, 10_000)
        return 10_000
      },
    }
    const chosen = values.only === undefined ? Object.keys(campaigns) : [values.only]
    for (const name of chosen) {
      const campaign = campaigns[name]
      if (!campaign) throw new Error(`--only: expected one of ${Object.keys(campaigns).join(', ')}`)
      const before = await target.held()
      try {
        sent += await campaign()
        await target.isWell()
        await target.letsGo(before)
      } catch (error) {
        wrong++
        say(`seed ${seed}, ${name}: ${error instanceof Error ? error.message : error}`)
        if (!target.node.running) throw error
      }
    }
    const now = await target.held()
    held.push(now)
    say(
      `seed ${seed}: ${sent} inputs, ${(now.heapBytes / 1e6).toFixed(1)} MB of heap, ${(now.residentBytes / 1e6).toFixed(0)} MB resident, ${now.files} files, ${wrong} wrong`,
    )
  }
  const third = Math.floor(held.length / 3)
  const median = (of: readonly Held[]) =>
    of.map(({ heapBytes }) => heapBytes).sort((a, b) => a - b)[of.length >> 1] ?? 0
  if (third > 0) {
    const grown = median(held.slice(-third)) - median(held.slice(third, 2 * third))
    say(`from the middle third of the rounds to the last the heap grew by ${(grown / 1e6).toFixed(1)} MB`)
    if (grown > growthBytesMax) wrong++
  }
} finally {
  await target.stop()
}
process.exitCode = wrong > 0 ? 1 : 0
