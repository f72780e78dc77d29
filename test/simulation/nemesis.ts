/** What goes wrong in a world: each fault drawn from a seed of its own, and ended after a while. */
import type { SimulatedDatabase } from './database-contract.ts'
import type { EngineServer } from './engine-server.ts'
import type { Network } from './network.ts'
import type { FaultKind } from './plan.ts'
import type { SeededRandom } from './random.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimulatedNode } from './simulated-node.ts'

export interface NemesisWorld {
  readonly scheduler: Scheduler
  readonly network: Network
  readonly database: SimulatedDatabase
  readonly remote: EngineServer
  readonly nodes: readonly SimulatedNode[]
}

type Fault = (world: NemesisWorld, random: SeededRandom) => void

export function inject(kind: FaultKind, world: NemesisWorld, random: SeededRandom): void {
  faults[kind](world, random)
}

/** After this, whatever is wrong from now on is wrong with the nodes. */
export function endAll({ network, database, nodes }: NemesisWorld): void {
  network.heal()
  database.faults.clear()
  for (const node of nodes) {
    node.resume()
    node.boot()
    if (node.life) for (const process of [node.life.process, node.life.heartbeat.thread]) process.wallOffsetMs = 0
  }
}

const downMs = (random: SeededRandom) => (random.chance(0.3) ? random.between(50, 800) : random.between(800, 15_000))

function crash({ scheduler }: NemesisWorld, random: SeededRandom, node: SimulatedNode, vanish = false): void {
  node.crash(vanish)
  scheduler.schedule(downMs(random), 'boot', () => node.boot())
}

function frozen(world: NemesisWorld, random: SeededRandom, freeze: (node: SimulatedNode) => void): void {
  const node = random.pick(world.nodes)
  const { life } = node
  if (life?.process.state !== 'running') return
  freeze(node)
  const forMs = random.chance(0.4) ? random.between(100, 1_500) : random.between(1_500, 20_000)
  world.scheduler.schedule(forMs, 'resume', () => {
    if (node.life === life) node.resume()
  })
}

const faults: Readonly<Record<FaultKind, Fault>> = {
  crash: (world, random) => crash(world, random, random.pick(world.nodes)),
  vanish: (world, random) => crash(world, random, random.pick(world.nodes), true),
  freeze: (world, random) => frozen(world, random, node => node.freeze(false)),
  suspend: (world, random) => frozen(world, random, node => node.freeze(true)),
  hang: (world, random) => frozen(world, random, node => node.hang()),
  leave: (world, random) => random.pick(world.nodes).leave(),
  'rolling-restart': ({ scheduler, nodes }, random) => {
    let atMs = 0
    for (const node of nodes) {
      scheduler.schedule(atMs, 'leave', () => node.leave())
      atMs += random.between(500, 8_000)
    }
  },
  'all-crash': (world, random) => {
    for (const node of world.nodes) crash(world, random, node)
  },
  'crash-leader': (world, random) => {
    const leader = world.nodes.find(node => node.life?.assembly.cluster.isLeader) ?? random.pick(world.nodes)
    crash(world, random, leader)
  },
  'wall-jump': ({ nodes, scheduler }, random) => {
    const { life } = random.pick(nodes)
    if (!life) return
    const byMs = random.between(-5_000, 5_000)
    const processes = [life.process, life.heartbeat.thread]
    for (const process of processes) process.wallOffsetMs += byMs
    scheduler.schedule(
      random.between(1_000, 30_000),
      'fault',
      () => {
        for (const process of processes) process.wallOffsetMs = 0
      },
      true,
    )
  },
  'database-restart': ({ database }, random) => database.faults.restart(random.between(200, 8_000)),
  'database-stall': ({ database }, random) => database.faults.stall(random.between(100, 7_000)),
  'database-failover': ({ database }, random) => database.faults.failOver(random.between(200, 6_000)),
  'database-clock': ({ database }, random) => database.faults.jumpClock(Math.round(random.between(-300, 3_000))),
  'database-cut': (world, random) => {
    const node = random.pick(world.nodes)
    database(world).cutOff([node.name, `${node.name}.heartbeat`], random.between(200, 12_000))
  },
  'database-connections': (world, random) => {
    database(world).breakConnections(random.chance(0.5) ? undefined : [random.pick(world.nodes).name])
  },
  'database-read-only': (world, random) => {
    database(world).inject({ kind: 'read-only', forMs: random.between(200, 6_000) })
  },
  'database-errors': (world, random) => {
    database(world).inject({
      kind: random.pick(['deadlock', 'lock-timeout', 'no-majority'] as const),
      chance: random.between(0.05, 0.6),
      forMs: random.between(200, 10_000),
    })
  },
  'database-lost-after': (world, random) => {
    database(world).inject({
      kind: 'lost-after',
      statements: random.chance(0.5) ? ['commit'] : ['commit', 'write', 'beat'],
      chance: random.between(0.1, 0.8),
      forMs: random.between(200, 6_000),
    })
  },
  'database-lost-before': (world, random) => {
    database(world).inject({
      kind: 'lost-before',
      chance: random.between(0.05, 0.5),
      forMs: random.between(200, 6_000),
    })
  },
  'database-late': (world, random) => {
    database(world).inject({
      kind: random.pick(['answer-late', 'request-late'] as const),
      chance: random.between(0.05, 0.6),
      delayMs: random.between(20, 2_500),
      forMs: random.between(500, 10_000),
    })
  },
  'bus-loss': ({ network }, random) => network.lose(random.between(0.1, 1), random.between(500, 20_000)),
  'bus-slow': ({ network }, random) => network.slowDown(random.between(5, 800), random.between(500, 15_000)),
  'bus-one-way': ({ network, nodes }, random) => {
    const from = random.pick(nodes)
    const others = nodes.filter(node => node !== from)
    if (others.length > 0) network.cut(from.address, random.pick(others).address, random.between(500, 20_000))
  },
  'bus-partition': ({ network, nodes }, random) => {
    const alone = random.pick(nodes)
    const forMs = random.between(500, 20_000)
    for (const other of nodes) {
      if (other === alone) continue
      network.cut(alone.address, other.address, forMs)
      network.cut(other.address, alone.address, forMs)
    }
  },
  'engine-death': ({ remote }, random) => remote.restart(random.between(50, 4_000)),
  'engine-unavailable': ({ remote }, random) => remote.becomeUnavailable(random.between(100, 8_000)),
  'local-engine-death': ({ nodes }, random) => random.pick(nodes).life?.local.restart(random.between(10, 1_000)),
}

function database({ database: { faults: of } }: NemesisWorld) {
  return of
}
