/** The faults, one by one. */
import { setTimeout } from 'node:timers/promises'
import type { SeededRandom } from '../simulation/random.ts'
import { eventually } from '../support/conditions.ts'
import { engineProcessesOf } from '../support/engine-processes.ts'
import { executeAt } from '../support/mysql.ts'
import type { Fault, Kind } from './fault.ts'
import { blockLoop } from './inspector.ts'
import type { Scene } from './scene.ts'

const chosen = (random: SeededRandom, scene: Scene): string => random.pick(scene.names)
const ms = (random: SeededRandom, from: number, to: number): number => Math.round(random.between(from, to))
/** Past the lease of 2 s, and what is needed to notice. */
const pastLease = (random: SeededRandom) => ms(random, 0, 1200)
const withinLease = (random: SeededRandom) => ms(random, 150, 1200)
const nothing = () => {}

function restartedKill(scene: Scene, name: string): Pick<Fault, 'begin' | 'heal'> {
  return {
    async begin() {
      const node = scene.node(name)
      scene.expectEnd(node)
      await node.kill()
    },
    heal: () => scene.begin(name),
  }
}

async function killConnections(scene: Scene): Promise<void> {
  const rows = await scene.ask("SELECT id FROM information_schema.processlist WHERE user = 'lens'")
  // One that ended meanwhile cannot be killed.
  await Promise.all(rows.map(({ id, ID }) => executeAt(scene.database.url, `KILL ${id ?? ID}`).catch(nothing)))
}

/** Each as soon as the next commit comes by, until the time is over. */
async function loseCommits(scene: Scene, name: string, before: boolean, times: number, withinMs: number) {
  const proxy = scene.proxy(name)
  const over = setTimeout(withinMs, 'over')
  for (let count = 0; count < times; count++) {
    const lost = before ? proxy.loseRequest('COMMIT') : proxy.loseAnswerTo('COMMIT')
    if ((await Promise.race([lost, over])) === 'over') break
  }
  proxy.loseNothing()
}

/** Gives how long it took at the longest until everything that one owned had a living owner or had ended. */
async function restartInTurn(scene: Scene): Promise<number> {
  let longestMs = 0
  for (const name of scene.names) {
    const node = scene.node(name)
    if (!node.running) continue
    const owned = await scene.ownedBy([name])
    const begun = performance.now()
    scene.expectEnd(node)
    const left = node.terminate()
    const isGiven = async () => (await scene.stillCurrent(owned)).every(query => query.node !== name)
    await eventually(isGiven, Boolean, { what: `${name} gives away what it owns` })
    longestMs = Math.max(longestMs, performance.now() - begun)
    const { code, signal } = await left
    if (code !== 0) throw new Error(`${name} left with ${code ?? signal}: ${JSON.stringify(node.log.slice(-10))}`)
    await (await scene.begin(name)).ready()
  }
  return longestMs
}

export const singleKinds = {
  kill: {
    weight: 5,
    effect: 'ends',
    draw(random, scene) {
      const name = chosen(random, scene)
      return {
        detail: `kill -9 of ${name}`,
        affected: [name],
        recovery: 'taken-over',
        lastsMs: ms(random, 0, 600),
        ...restartedKill(scene, name),
      }
    },
  },
  'freeze-short': {
    weight: 3,
    effect: 'silences',
    draw(random, scene) {
      const name = chosen(random, scene)
      const lastsMs = withinLease(random)
      return {
        detail: `${name} stopped for ${lastsMs} ms`,
        affected: [name],
        recovery: 'serving',
        lastsMs,
        begin: () => scene.node(name).signal('SIGSTOP'),
        heal: () => scene.node(name).signal('SIGCONT'),
      }
    },
  },
  'freeze-long': {
    weight: 4,
    effect: 'silences',
    draw(random, scene) {
      const name = chosen(random, scene)
      return {
        detail: `${name} stopped past its lease`,
        affected: [name],
        recovery: 'taken-over',
        lastsMs: pastLease(random),
        begin: () => scene.node(name).signal('SIGSTOP'),
        heal: () => scene.node(name).signal('SIGCONT'),
      }
    },
  },
  'loop-blocked': {
    weight: 3,
    effect: 'silences',
    draw(random, scene) {
      const name = chosen(random, scene)
      const lastsMs = random.chance(0.5) ? withinLease(random) : ms(random, 2500, 4000)
      return {
        detail: `the event loop of ${name} blocked for ${lastsMs} ms`,
        affected: [name],
        recovery: 'serving',
        lastsMs,
        begin: () => blockLoop(scene.node(name), scene.inspectorOf(name), lastsMs),
        heal: nothing,
      }
    },
  },
  'connections-killed': {
    weight: 3,
    effect: 'other',
    draw: (_random, scene) => ({
      detail: 'all connections of all nodes killed at the database',
      affected: [],
      recovery: 'serving',
      lastsMs: 0,
      begin: () => killConnections(scene),
      heal: nothing,
    }),
  },
  'database-frozen': {
    weight: 2,
    effect: 'other',
    draw(random, scene) {
      const lastsMs = ms(random, 300, 3500)
      return {
        detail: `the database stopped for ${lastsMs} ms`,
        affected: [],
        recovery: 'serving',
        lastsMs,
        begin: () => scene.database.pause(),
        heal: () => scene.database.resume(),
      }
    },
  },
  'database-restarted': {
    weight: 2,
    effect: 'other',
    draw(random, scene) {
      const lastsMs = ms(random, 0, 1500)
      const killed = random.chance(0.6)
      return {
        detail: `the database ${killed ? 'killed' : 'shut down'}, started again after ${lastsMs} ms`,
        affected: [],
        recovery: 'serving',
        lastsMs,
        begin: () => (killed ? scene.database.kill() : scene.database.stop()),
        heal: () => scene.database.start(),
      }
    },
  },
  'database-read-only': {
    weight: 2,
    effect: 'other',
    draw(random, scene) {
      const lastsMs = ms(random, 300, 3000)
      return {
        detail: `the database read-only for ${lastsMs} ms`,
        affected: [],
        recovery: 'serving',
        lastsMs,
        begin: () => executeAt(scene.database.url, 'SET GLOBAL read_only = 1'),
        heal: () => executeAt(scene.database.url, 'SET GLOBAL read_only = 0'),
      }
    },
  },
  'database-delayed': {
    weight: 2,
    effect: 'silences',
    draw(random, scene) {
      const name = chosen(random, scene)
      const [delayMs, lastsMs] = [ms(random, 20, 400), ms(random, 500, 3000)]
      return {
        detail: `${delayMs} ms each way between ${name} and the database, for ${lastsMs} ms`,
        affected: [name],
        recovery: 'serving',
        lastsMs,
        begin: () => scene.proxy(name).delay(delayMs),
        heal: () => scene.proxy(name).delay(0),
      }
    },
  },
  'database-half-open': {
    weight: 2,
    effect: 'silences',
    draw(random, scene) {
      const name = chosen(random, scene)
      const lastsMs = ms(random, 300, 3500)
      const cut = random.chance(0.5)
      return {
        detail: `${name} and the database hear nothing of each other for ${lastsMs} ms${cut ? ', then the connections are cut' : ''}`,
        affected: [name],
        recovery: 'serving',
        lastsMs,
        begin: () => scene.proxy(name).pause(),
        heal() {
          if (cut) scene.proxy(name).cut()
          scene.proxy(name).resume()
        },
      }
    },
  },
  'database-one-way': {
    weight: 2,
    effect: 'silences',
    draw(random, scene) {
      const name = chosen(random, scene)
      const lastsMs = ms(random, 300, 3500)
      const direction = random.pick(['requests', 'answers'] as const)
      return {
        detail: `${direction} between ${name} and the database held back for ${lastsMs} ms`,
        affected: [name],
        recovery: 'serving',
        lastsMs,
        begin: () => scene.proxy(name).pause(direction),
        heal: () => scene.proxy(name).resume(),
      }
    },
  },
  'mid-commit': {
    weight: 4,
    effect: 'other',
    draw(random, scene) {
      const name = chosen(random, scene)
      const before = random.chance(0.4)
      const times = 1 + random.below(5)
      return {
        detail: `${times} × ${name} cut off from the database in a COMMIT, ${before ? 'before it arrived' : 'before its answer arrived'}`,
        affected: [name],
        recovery: 'serving',
        lastsMs: 0,
        begin: () => loseCommits(scene, name, before, times, 1500),
        heal: nothing,
      }
    },
  },
  'one-way': {
    weight: 3,
    effect: 'silences',
    needsNetwork: true,
    draw(random, scene) {
      const from = chosen(random, scene)
      const others = [...scene.names.filter(name => name !== from), 'host']
      const to = random.pick(others)
      const lastsMs = ms(random, 300, 3500)
      const [sender, receiver] = random.chance(0.5) ? [from, to] : [to, from]
      const place = (name: string) => (name === 'host' ? 'database and clients' : name)
      return {
        detail: `nothing from ${place(sender)} reaches ${place(receiver)}, for ${lastsMs} ms`,
        affected: [from],
        recovery: 'serving',
        lastsMs,
        begin: () => scene.network?.deafen(sender, receiver),
        heal: () => scene.network?.undeafen(sender, receiver),
      }
    },
  },
  blackhole: {
    weight: 4,
    effect: 'silences',
    needsNetwork: true,
    draw(random, scene) {
      const name = chosen(random, scene)
      return {
        detail: `${name} unplugged`,
        affected: [name],
        recovery: 'taken-over',
        lastsMs: pastLease(random),
        begin: () => scene.network?.unplug(name),
        heal: () => scene.network?.plug(name),
      }
    },
  },
  'rolling-restart': {
    weight: 1,
    effect: 'ends',
    draw: (_random, scene) => ({
      detail: 'every node asked to leave, and started again, in turn',
      affected: scene.names,
      recovery: 'by-itself',
      lastsMs: 0,
      begin: () => restartInTurn(scene),
      heal: nothing,
    }),
  },
  'engine-killed': {
    weight: 3,
    effect: 'other',
    draw(random, scene) {
      const name = chosen(random, scene)
      return {
        detail: `the engine process of ${name} killed`,
        affected: [name],
        recovery: 'moved',
        lastsMs: 0,
        begin() {
          for (const pid of engineProcessesOf(scene.node(name).pid)) process.kill(pid, 'SIGKILL')
        },
        heal: nothing,
      }
    },
  },
} as const satisfies Record<string, Kind>
