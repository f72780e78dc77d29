/** `lens top` on a terminal: facts come, keys are pressed, the screen is drawn; and what a pipe gets instead. */
import { type Clock, deferred } from '../../async/index.ts'
import type { LensClient } from '../../client/index.ts'
import { LensClientError } from '../../client/index.ts'
import { writeCluster, writeQueries } from '../commands/lists.ts'
import { type ExitCode, exitCodes, sentenceOf } from '../exit-codes.ts'
import { interruptOf } from '../interrupt.ts'
import { FullScreen } from '../screen/full-screen.ts'
import type { Terminal } from '../terminal.ts'
import { TopFeed } from './feed.ts'
import { type Asked, type Choices, firstChoices, press, unfinished } from './model.ts'
import { pageLinesOf, screenOf } from './view.ts'

/** Leases and ages move by themselves. */
const redrawMs = 250
const snapshotMax = 100

export async function showTop(client: LensClient, terminal: Terminal, clock: Clock): Promise<ExitCode> {
  await client.open()
  const { user, admin } = await client.auth()
  const ended = deferred<void>()
  let choices: Choices = firstChoices
  const draw = () => screen.draw(screenOf(feed.facts, choices, terminal, clock.monotonic()))
  const say = (message: string) => {
    choices = { ...choices, message }
    draw()
  }
  const feed = new TopFeed(client, { user: user ?? '', admin: admin === true }, clock, () => draw(), ended.reject)
  const screen = new FullScreen(terminal, () => draw())
  const does = async (asked: Asked) => {
    try {
      if (asked.kind === 'cancel') await client.handle(asked.handle).cancel()
      else await client.drain(asked.node)
      say(asked.kind === 'cancel' ? `${asked.handle} is being cancelled.` : `${asked.node} is draining.`)
      await feed.ask()
    } catch (error) {
      if (!(error instanceof LensClientError)) throw error
      say(sentenceOf(error).replaceAll('\n', ' '))
    }
  }
  const stopKeys = terminal.onKey(key => {
    const { facts } = feed
    const { choices: next, asked, quit } = press(key, facts, choices, pageLinesOf(facts, terminal))
    choices = next
    if (quit) ended.resolve()
    else draw()
    if (asked) does(asked).catch(ended.reject)
  })
  const interrupt = interruptOf(process)
  interrupt.signal.addEventListener('abort', () => ended.resolve())
  const stopRedrawing = clock.every(redrawMs, draw)
  try {
    feed.start()
    draw()
    await ended.promise
    return exitCodes.success
  } finally {
    stopRedrawing()
    feed.stop()
    stopKeys()
    interrupt.stop()
    screen.leave()
  }
}

/** What is going on now: nodes, then the unfinished queries, newest first. */
export async function writeSnapshot(client: LensClient, terminal: Terminal): Promise<ExitCode> {
  await client.open()
  const [{ admin }, cluster] = await Promise.all([client.auth(), client.cluster()])
  const { queries } = await client.queries({
    ...{ status: unfinished, limit: snapshotMax },
    user: admin === true ? '*' : undefined,
  })
  await writeCluster(terminal, 'table', cluster)
  await terminal.out('\n')
  await writeQueries(terminal, 'table', queries)
  return exitCodes.success
}
