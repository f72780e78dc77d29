/** Draws faults from a seed: one of a kind, as often as its weight says, or several at once. */
import { setTimeout } from 'node:timers/promises'
import type { SeededRandom } from '../simulation/random.ts'
import type { Fault, Kind } from './fault.ts'
import { singleKinds } from './kinds.ts'
import type { Scene } from './scene.ts'

export type KindName = keyof typeof singleKinds | 'several'

export const kinds: Readonly<Record<KindName, Kind>> = {
  ...singleKinds,
  several: { weight: 4, effect: 'other', draw: together },
}

export const kindNames = Object.keys(kinds) as KindName[]

/** A fault of one of these kinds. */
export type DrawnFault = Omit<Fault, 'kind' | 'parts'> & {
  readonly kind: KindName
  readonly parts?: readonly DrawnFault[]
}

const nothing = () => {}
const bySelf: ReadonlySet<KindName> = new Set(['several', 'rolling-restart'])
/** What two of cannot be had at the same time: the database is one, and so is the wire of a node. */
const thing = ({ kind, detail }: DrawnFault): string =>
  kind === 'database-frozen' ||
  kind === 'database-restarted' ||
  kind === 'database-read-only' ||
  kind === 'connections-killed'
    ? 'database'
    : `${/\bn\d\b/.exec(detail)?.[0]}`

/** Two or three at once, each of another node or of the database. */
function together(random: SeededRandom, scene: Scene): Omit<DrawnFault, 'kind'> {
  const parts: DrawnFault[] = []
  for (let count = 2 + random.below(2); parts.length < count; ) {
    const part = drawFault(random, scene, name => !bySelf.has(name))
    if (!parts.some(other => thing(other) === thing(part))) parts.push(part)
  }
  const begun = new Map<DrawnFault, Promise<unknown>>()
  const stepsMs = parts.map(() => random.below(300))
  const healed = [...parts].sort(() => random.fraction() - 0.5)
  const lastsMs = Math.max(...parts.map(part => part.lastsMs + (part.recovery === 'taken-over' ? 2500 : 0)))
  return {
    detail: parts.map(({ detail }) => detail).join(' + '),
    affected: [...new Set(parts.flatMap(({ affected }) => affected))],
    recovery: 'serving',
    lastsMs,
    parts,
    async begin() {
      for (const [index, part] of parts.entries()) {
        const begin = (async () => part.begin())()
        begin.catch(nothing)
        begun.set(part, begin)
        await setTimeout(stepsMs[index])
      }
      // What is asked of a database that is away already ends only when that is healed.
      await Promise.race([Promise.allSettled(begun.values()), setTimeout(2000)])
    },
    async heal() {
      await Promise.all(
        healed.map(async part => {
          await begun.get(part)
          await part.heal()
        }),
      )
    },
  }
}

/** What is allowed, and can be done here. */
export function possibleKinds(scene: Scene, allowed: (kind: KindName) => boolean): KindName[] {
  return kindNames.filter(name => {
    const kind: Kind = kinds[name]
    return allowed(name) && (scene.network !== null || !kind.needsNetwork)
  })
}

/** One fault, of a kind that is allowed here. */
export function drawFault(random: SeededRandom, scene: Scene, allowed: (kind: KindName) => boolean): DrawnFault {
  const possible = possibleKinds(scene, allowed)
  let ticket = random.between(
    0,
    possible.reduce((sum, name) => sum + kinds[name].weight, 0),
  )
  const isDrawn = (name: KindName): boolean => {
    ticket -= kinds[name].weight
    return ticket < 0
  }
  const kind = possible.find(isDrawn) ?? random.pick(possible)
  return { kind, ...(kinds[kind].draw(random, scene) as Omit<DrawnFault, 'kind'>) }
}
