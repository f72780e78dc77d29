/**
 * One run: a scene, clients that work on it and write down what they see, a nemesis, and at the end, when all is healed and
 * quiet, the judgement of the checker over everything that was written down.
 *
 *     scene ─▶ clients at work ─▶ faults, one after the other ─▶ healed ─▶ clients end ─▶ quiet ─▶ database read ─▶ judged
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { SeededRandom } from '../simulation/random.ts'
import { eventually } from '../support/conditions.ts'
import { brokenInvariants } from '../support/invariants.ts'
import { checkHistory, type Report } from './checker/index.ts'
import { Recorder } from './clients/recorder.ts'
import type { KindName } from './draw.ts'
import { engineSamples } from './engine-samples.ts'
import { finalRows } from './final-rows.ts'
import { monotonicMs, readHistory } from './history.ts'
import { faultRecords, type Inflicted, torment } from './nemesis.ts'
import { startClients } from './running-clients.ts'
import { limits, Scene, type UnexpectedEnd } from './scene.ts'
import { Stage } from './stage.ts'

export interface RunOptions {
  readonly seed: string
  readonly commit: string
  /** It ends with the first of the two. */
  readonly minutes: number
  readonly faults: number
  readonly allowed: (kind: KindName) => boolean
  /** Every kind once before any comes again. */
  readonly inTurn: boolean
  /** Between two faults, milliseconds. */
  readonly pauseMs: number
  readonly processes: number
  readonly workers: number
  readonly say: (line: string) => void
  /** Keeps history and logs also when nothing is wrong. */
  readonly keep: boolean
}

export interface RunOutcome {
  readonly seed: string
  /** Faults were made for this long. */
  readonly durationMs: number
  readonly faults: readonly Inflicted[]
  readonly report: Report
  readonly operations: number
  readonly frames: number
  readonly queries: number
  readonly transitions: number
  /** Processes that ended by themselves, and what else should not be. */
  readonly unexpected: readonly string[]
  readonly networked: boolean
  /** Where history and logs are kept; null when they are gone. */
  readonly artefacts: string | null
}

const users = ['ada', 'bob', 'cyd', 'dan']
const leaseMs = 2_000
/** Longer than a frame may be under way, and than the bound until which an engine may end what nobody waits for. */
const quietMs = 2_500

export async function run(options: RunOptions): Promise<RunOutcome> {
  const { seed, say } = options
  const folder = mkdtempSync(join(tmpdir(), `lens-ha-faults-${seed}-`))
  const stage = new Stage()
  let scene: Scene | null = null
  let isGood = false
  try {
    scene = await Scene.start(stage)
    if (!scene.network) say('not root: no network namespaces, so no blackholes and no peers cut off')
    const outcome = await play(options, scene, stage, folder)
    isGood = outcome.report.violations.length === 0 && outcome.unexpected.length === 0
    return isGood && !options.keep ? { ...outcome, artefacts: null } : outcome
  } finally {
    if (isGood && !options.keep) rmSync(folder, { recursive: true, force: true })
    else {
      for (const [index, node] of (scene?.cluster.nodes ?? []).entries())
        writeFileSync(
          join(folder, `${node.name}-${index}.log`),
          node.log.map(line => `${JSON.stringify(line)}\n`).join(''),
        )
      say(`history and logs are kept in ${folder}`)
    }
    await stage.end()
  }
}

async function play(options: RunOptions, scene: Scene, stage: Stage, folder: string): Promise<RunOutcome> {
  const { seed, commit, minutes, faults, allowed, inTurn, pauseMs, say } = options
  const recorder = new Recorder(join(folder, 'run.jsonl'), 'run')
  const files = [join(folder, 'run.jsonl')]
  recorder.write({
    record: 'run',
    seed,
    commit,
    clock: await clocks(scene),
    nodes: scene.names,
    admins: ['admin'],
    leaseMs,
    limits,
    slots: { duckdb: { light: limits.lightSlots, heavy: limits.heavySlots } },
  })
  const clients = startClients({ ...options, users, folder }, scene, stage)
  files.push(...clients.files)
  await eventually(
    () => scene.ask('SELECT COUNT(*) AS n FROM finished_query'),
    ([row]) => Number(row?.n) >= options.workers,
    { what: 'the first ends of queries' },
  )

  const beganAt = performance.now()
  const made: Inflicted[] = []
  const wrong: string[] = []
  const isOver = (count: number) =>
    count >= faults || performance.now() - beganAt > minutes * 60_000 || clients.failed() !== null
  try {
    const random = new SeededRandom(seed).fork('nemesis')
    const report = (fault: Inflicted) => {
      made.push(fault)
      for (const record of faultRecords(fault, `f${made.length}`)) recorder.write(record)
      const { kind, recoveryMs, from, detail, owned, beginMs, settledMs } = fault
      const recovered = recoveryMs === null ? 'NOT RECOVERED' : `${recoveryMs} ms from ${from}`
      say(
        `${made.length} ${kind}: ${recovered}, ${owned} owned, ${Math.round(settledMs - beginMs)} ms in all (${detail})`,
      )
      if (recoveryMs === null) wrong.push(`no recovery in time from ${kind}: ${detail}`)
    }
    await torment({ scene, random, allowed, inTurn, pauseMs, report }, isOver)
  } catch (error) {
    wrong.push(`the nemesis gave up: ${String(error)}`)
  }
  const durationMs = performance.now() - beganAt

  const failed = await clients.end()
  if (failed !== null) wrong.push(failed)
  await eventually(
    () => scene.ownedBy(scene.names),
    owned => owned.length === 0,
    {
      what: 'the end of all queries',
      withinMs: 90_000,
    },
  ).catch(error => wrong.push(String(error)))
  await setTimeout(quietMs)
  recorder.write({
    record: 'end',
    atMs: monotonicMs(),
    running: scene.names.filter(name => scene.node(name).running),
  })
  for (const name of scene.names)
    for (const sample of await engineSamples(scene.node(name), await scene.enginesAt(name))) recorder.write(sample)
  // A second opinion, by other means; it also sees counters that did not come back to nothing.
  wrong.push(...(await brokenInvariants(scene.storeUrl, [])))
  for await (const row of finalRows(scene.storeUrl)) recorder.write(row)
  await recorder.end()
  const history = await readHistory(files)
  const { rows } = history
  return {
    seed,
    durationMs,
    faults: made,
    report: checkHistory(history),
    operations: history.operations.length,
    frames: [...history.frames.values()].reduce((sum, frames) => sum + frames.length, 0),
    queries: rows.current_query.length + rows.finished_query.length,
    transitions: rows.query_transition.length,
    unexpected: [...wrong, ...scene.unexpected.map(described)],
    networked: scene.network !== null,
    artefacts: folder,
  }
}

const described = ({ node, exit, lastWords }: UnexpectedEnd): string => `${node} ended by itself: ${exit} ${lastWords}`

/** The same instant on both clocks, as near as one statement gets. */
async function clocks(scene: Scene): Promise<{ monotonicMs: number; databaseMs: number }> {
  let best = { widthMs: Number.POSITIVE_INFINITY, monotonicMs: 0, databaseMs: 0 }
  for (let count = 0; count < 20; count++) {
    const before = monotonicMs()
    const databaseMs = await scene.databaseNow()
    const after = monotonicMs()
    if (after - before < best.widthMs) best = { widthMs: after - before, monotonicMs: (before + after) / 2, databaseMs }
  }
  return { monotonicMs: best.monotonicMs, databaseMs: best.databaseMs }
}
