/**
 * One run: three nodes that are never restarted, clients that work on them, faults that no process dies of, and a look at what every
 * node and every table holds again and again. What kills nodes is `npm run faults`; here they are to grow old.
 *
 *     scene ─▶ clients and faults, looked at again and again ─▶ clients end ─▶ quiet ─▶ nothing is left ─▶ judged
 */
import { setTimeout } from 'node:timers/promises'
import type { KindName } from '../faults/draw.ts'
import { type Inflicted, torment } from '../faults/nemesis.ts'
import { startClients } from '../faults/running-clients.ts'
import { Scene } from '../faults/scene.ts'
import { Stage } from '../faults/stage.ts'
import { SeededRandom } from '../simulation/random.ts'
import { eventually } from '../support/conditions.ts'
import { brokenInvariants } from '../support/invariants.ts'
import { judge, type Series, samplesMin, type Verdict } from './flatness.ts'
import { type Holdings, holdingNames, holdingsOf } from './sampling.ts'
import { Sink } from './sink.ts'

export interface SoakOptions {
  readonly seed: string
  readonly minutes: number
  /** Between two looks, milliseconds. */
  readonly everyMs: number
  /** Between two faults, milliseconds. */
  readonly pauseMs: number
  readonly workers: number
  readonly say: (line: string) => void
}

export interface SoakOutcome {
  readonly seed: string
  readonly durationMs: number
  readonly samples: number
  readonly faults: Readonly<Record<string, number>>
  readonly queries: number
  readonly verdicts: readonly Verdict[]
  /** What was there when nothing should have been, processes that ended, invariants that were broken. */
  readonly wrong: readonly string[]
}

/** A process ends by them, and with it what it held. */
const deadly: ReadonlySet<KindName> = new Set(['kill', 'rolling-restart', 'several'])
const users = ['ada', 'bob', 'cyd', 'dan']
/** Short, so that a table that does not become flat is seen: what is kept for a week in production would grow for a week. */
const retention: Readonly<Record<string, string>> = {
  LENS_QUERIES_RETENTION_MS: '30000',
  LENS_RESULTS_RETENTION_MS: '20000',
  LENS_SESSIONS_IDLE_MS: '60000',
}
/** Every table there is: one that is added is looked at too. */
const tables =
  'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name'
/** What each varies by from look to look. */
const slack: Readonly<Record<(typeof holdingNames)[number], number>> = {
  resident: 24,
  heap: 8,
  external: 16,
  files: 12,
  threads: 2,
  timers: 40,
  resources: 16,
}
/** As many more or fewer queries are kept when the machine is faster or slower for a while. */
const rowsSlack = 400
/** Of these a query has several; whether it has ever more is asked by itself. */
const rowsPerQuery: Readonly<Record<string, number>> = { query_transition: 6 }
const stepsSlack = 1
const connectionsSlack = 10

interface Look {
  readonly nodes: ReadonlyMap<string, Holdings>
  readonly rows: ReadonlyMap<string, number>
  readonly connections: number
}

export async function soak(options: SoakOptions): Promise<SoakOutcome> {
  const stage = new Stage()
  try {
    let sink: Sink | undefined
    const scene = await Scene.start(stage, 3, async host => {
      sink = await Sink.start(stage, host)
      return { ...retention, ...sink.environment }
    })
    return await play(options, scene, sink as Sink, stage)
  } finally {
    await stage.end()
  }
}

async function play(options: SoakOptions, scene: Scene, sink: Sink, stage: Stage): Promise<SoakOutcome> {
  const { seed, minutes, everyMs, pauseMs, workers, say } = options
  const wrong: string[] = []
  const looks: Look[] = []
  const faults: Record<string, number> = {}
  const clients = startClients({ seed, processes: 2, workers, users, folder: null }, scene, stage)
  const beganAt = performance.now()
  const endsAt = beganAt + minutes * 60_000
  const isOver = () => performance.now() >= endsAt || clients.failed() !== null
  const tormenting = torment(
    {
      scene,
      random: new SeededRandom(seed).fork('nemesis'),
      allowed: kind => !deadly.has(kind),
      inTurn: false,
      pauseMs,
      report: ({ kind, recoveryMs, detail }: Inflicted) => {
        faults[kind] = (faults[kind] ?? 0) + 1
        if (recoveryMs === null) wrong.push(`no recovery in time from ${kind}: ${detail}`)
      },
    },
    isOver,
  ).catch(error => wrong.push(`the nemesis gave up: ${String(error)}`))
  while (!isOver()) {
    await setTimeout(Math.min(everyMs, Math.max(0, endsAt - performance.now())))
    // While a fault lasts nobody may answer: then the next look is the next one.
    const look = await lookAt(scene).catch(() => null)
    if (look) {
      looks.push(look)
      say(described(look, performance.now() - beganAt))
    }
  }
  await tormenting
  const durationMs = performance.now() - beganAt
  const failed = await clients.end()
  if (failed !== null) wrong.push(failed)
  wrong.push(...(await leftovers(scene)))
  for (const [what, count] of Object.entries(sink.taken)) if (count === 0) wrong.push(`nobody was told of any ${what}`)
  wrong.push(...scene.unexpected.map(({ node, exit, lastWords }) => `${node} ended by itself: ${exit} ${lastWords}`))
  const [counted] = await scene.ask(`SELECT COUNT(*) AS n FROM query_transition WHERE to_status = 'QUEUED'`)
  return {
    seed,
    durationMs,
    samples: looks.length,
    faults,
    queries: Number(counted?.n),
    verdicts: looks.length < samplesMin ? [] : seriesOf(looks, scene.names).map(judge),
    wrong: looks.length < samplesMin ? [...wrong, `only ${looks.length} looks succeeded`] : wrong,
  }
}

async function lookAt(scene: Scene): Promise<Look> {
  const nodes = new Map<string, Holdings>()
  for (const name of scene.names) nodes.set(name, await holdingsOf(scene.node(name), scene.inspectorOf(name)))
  const rows = new Map<string, number>()
  for (const { name } of await scene.ask(tables)) {
    const [row] = await scene.ask(`SELECT COUNT(*) AS n FROM \`${name}\``)
    rows.set(String(name), Number(row?.n))
  }
  const [row] = await scene.ask('SELECT COUNT(*) AS n FROM information_schema.processlist')
  return { nodes, rows, connections: Number(row?.n) }
}

function seriesOf(looks: readonly Look[], names: readonly string[]): Series[] {
  const series: Series[] = []
  for (const name of names)
    for (const holding of holdingNames)
      series.push({
        name: `${name} ${holding}`,
        values: looks.map(({ nodes }) => nodes.get(name)?.[holding] as number),
        slack: slack[holding],
      })
  for (const table of looks[0]?.rows.keys() ?? [])
    series.push({
      name: `rows ${table}`,
      values: looks.map(({ rows }) => rows.get(table) as number),
      slack: rowsSlack * (rowsPerQuery[table] ?? 1),
    })
  series.push({ name: 'steps per query', values: looks.map(stepsPerQuery), slack: stepsSlack })
  series.push({
    name: 'database connections',
    values: looks.map(({ connections }) => connections),
    slack: connectionsSlack,
  })
  return series
}

function stepsPerQuery({ rows }: Look): number {
  const of = (table: string) => rows.get(table) as number
  return of('query_transition') / Math.max(1, of('current_query') + of('finished_query'))
}

/** Once nobody asks for anything any more: no query runs, no counter says so, no subscriber is left, no slot is taken. */
async function leftovers(scene: Scene): Promise<string[]> {
  const wrong: string[] = []
  await eventually(
    () => scene.ownedBy(scene.names),
    owned => owned.length === 0,
    { what: 'the end of all queries', withinMs: 90_000 },
  ).catch(error => wrong.push(String(error)))
  wrong.push(...(await brokenInvariants(scene.storeUrl, [])))
  await eventually(
    () => scene.ask(`SELECT * FROM webhook_delivery WHERE state <> 'DELIVERED'`),
    owed => owed.length === 0,
    { what: 'no end that nobody was told of', withinMs: 30_000 },
  ).catch(error => wrong.push(String(error)))
  for (const name of scene.names) {
    await eventually(
      async () => held(await scene.node(name).metrics()),
      all => all === 0,
      { what: `${name} without connections, subscriptions and slots`, withinMs: 30_000 },
    ).catch(error => wrong.push(String(error)))
  }
  return wrong
}

/** Of connections, subscriptions and slots together. */
function held(text: string): number {
  const values = [
    ...text.matchAll(/^lens_(?:stream_connections|stream_subscribers|lane_running|lane_queued)\S* (\S+)$/gm),
  ]
  if (values.length === 0) throw new Error('the metrics do not say what is held')
  return values.reduce((sum, [, value]) => sum + Number(value), 0)
}

function described({ nodes, rows, connections }: Look, sinceMs: number): string {
  const heaps = [...nodes].map(([name, { heap, resident }]) => `${name} ${heap.toFixed(0)}/${resident.toFixed(0)} MiB`)
  const total = [...rows.values()].reduce((sum, count) => sum + count, 0)
  return `${(sinceMs / 60_000).toFixed(1)} min: heap/resident ${heaps.join(', ')}; ${connections} connections, ${total} rows`
}
