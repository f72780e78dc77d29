/**
 * Makes one fault after the other to a scene, heals each, and measures how long it took until all was well again. The next
 * one comes when every node serves: what two faults at once do is a kind of its own.
 */
import { setTimeout } from 'node:timers/promises'
import type { SeededRandom } from '../simulation/random.ts'
import { type DrawnFault, drawFault, type KindName, kinds, possibleKinds } from './draw.ts'
import type { Effect } from './fault.ts'
import { type FaultRecord, monotonicMs } from './history.ts'
import type { Owned, Scene } from './scene.ts'

export interface Inflicted {
  readonly kind: KindName
  readonly detail: string
  /** `monotonicMs` */
  readonly beginMs: number
  readonly healMs: number
  readonly settledMs: number
  /** Unfinished queries of the affected nodes at the fault. */
  readonly owned: number
  /** Null when it did not recover in time. */
  readonly recoveryMs: number | null
  /** From where it was measured. */
  readonly from: 'fault' | 'heal'
  readonly strikes: readonly Strike[]
}

/** What befell one node, or none in particular. */
export interface Strike {
  readonly kind: KindName
  readonly node: string | null
  readonly effect: Effect
}

export interface NemesisOptions {
  readonly scene: Scene
  readonly random: SeededRandom
  readonly allowed: (kind: KindName) => boolean
  /** Every kind once before any comes again; else each as often as its weight says. */
  readonly inTurn: boolean
  readonly pauseMs: number
  readonly report: (fault: Inflicted) => void
}

const recoversWithinMs = 30_000
const periodMs = 15

/** Until the time is over or so many faults are made. Rejects when a cluster does not come back. */
export async function torment(options: NemesisOptions, isOver: (made: number) => boolean): Promise<Inflicted[]> {
  const { scene, random, allowed, inTurn, pauseMs } = options
  const made: Inflicted[] = []
  let left: KindName[] = []
  while (!isOver(made.length)) {
    if (left.length === 0) left = possibleKinds(scene, allowed)
    const fault = drawFault(random, scene, inTurn ? kind => left.includes(kind) : allowed)
    left = left.filter(kind => kind !== fault.kind)
    const record = await inflict(scene, fault)
    made.push(record)
    options.report(record)
    await setTimeout(random.between(pauseMs / 2, pauseMs * 1.5))
  }
  return made
}

export async function inflict(scene: Scene, fault: DrawnFault): Promise<Inflicted> {
  const { kind, detail, affected, recovery, lastsMs } = fault
  const owned = await scene.ownedBy(affected)
  const members = (await scene.livingMembers()).filter(({ node }) => affected.includes(node))
  const beginMs = monotonicMs()
  const measured = await fault.begin()
  let recoveredMs: number | null = null
  if (recovery === 'by-itself') recoveredMs = beginMs + Number(measured)
  else if (recovery !== 'serving')
    recoveredMs = await momentOf(() =>
      recovery === 'moved' ? haveMoved(scene, owned) : areTakenOver(scene, owned, members),
    )
  await setTimeout(lastsMs)
  await fault.heal()
  const healMs = monotonicMs()
  if (recovery === 'serving') recoveredMs = await momentOf(() => allServe(scene))
  await scene.settled()
  const from = recovery === 'serving' ? 'heal' : 'fault'
  return {
    kind,
    detail,
    beginMs,
    healMs,
    settledMs: monotonicMs(),
    owned: owned.length,
    recoveryMs: recoveredMs === null ? null : Math.round(recoveredMs - (from === 'heal' ? healMs : beginMs)),
    from,
    strikes: (fault.parts ?? [fault]).flatMap(strikesOf),
  }
}

function strikesOf({ kind, affected }: DrawnFault): Strike[] {
  const { effect } = kinds[kind]
  const nodes = affected.length > 0 ? affected : [null]
  return nodes.map(node => ({ kind, node, effect }))
}

/** As the history has it: one record per strike. */
export function faultRecords(fault: Inflicted, id: string): FaultRecord[] {
  const { beginMs, healMs, recoveryMs, strikes } = fault
  return strikes.map((strike, index) => ({
    record: 'fault',
    id: `${id}.${index}`,
    ...strike,
    beginMs,
    healMs,
    recoveryMs: strikes.length === 1 ? recoveryMs : null,
  }))
}

/** When it first holds, on the monotonic clock; null when it does not in time. */
async function momentOf(holds: () => Promise<boolean>): Promise<number | null> {
  const giveUpMs = monotonicMs() + recoversWithinMs
  while (monotonicMs() < giveUpMs) {
    if (await holds().catch(() => false)) return monotonicMs()
    await setTimeout(periodMs)
  }
  return null
}

/** The dead are known to be dead, and each of their queries has ended or has a living owner that has written its next version. */
async function areTakenOver(
  scene: Scene,
  owned: readonly Owned[],
  members: readonly { incarnation: string }[],
): Promise<boolean> {
  const living = new Set((await scene.livingMembers()).map(({ incarnation }) => incarnation))
  if (members.some(({ incarnation }) => living.has(incarnation))) return false
  const before = new Map(owned.map(query => [query.handle, query]))
  return (await scene.stillCurrent(owned)).every(
    ({ handle, version, incarnation }) => living.has(incarnation) && version > (before.get(handle)?.version ?? 0),
  )
}

/** What was at work has ended or has its next version. */
async function haveMoved(scene: Scene, owned: readonly Owned[]): Promise<boolean> {
  const before = new Map(owned.map(query => [query.handle, query]))
  return (await scene.stillCurrent(owned)).every(({ handle, version }) => {
    const was = before.get(handle)
    return was === undefined || was.status === 'QUEUED' || version > was.version
  })
}

async function allServe(scene: Scene): Promise<boolean> {
  return (await Promise.all(scene.names.map(name => scene.serves(name)))).every(Boolean)
}
