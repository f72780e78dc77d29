/** What a check says: what broke an invariant, with the evidence, and at how much it looked, so that nothing passes unseen. */

export const invariants = {
  I1: 'every acknowledged query reaches exactly one terminal state, and is in exactly one of the two tables',
  I2: 'per query and epoch there is one writer; a write of an older epoch, an insert included, changes nothing',
  I3: 'versions of a query are gap-free in the database and at every subscriber',
  I4: 'replaying the transitions of an actor gives its snapshot',
  I5: 'a statement that is not safe to repeat is executed at most once',
  I6: 'rows are delivered once and in order, whichever nodes serve the pages',
  I7: 'nothing keeps running on an engine for a query that is finished or owned elsewhere; cancel takes effect',
  I8: 'a zombie has no write accepted and notices by itself',
  I9: 'what one node answered, every node answers from then on',
  I10: 'limits per user, lane and engine hold for the cluster',
  I11: "nobody sees another user's session, query, rows or events",
} as const
export type Invariant = keyof typeof invariants
export const invariantNames = Object.keys(invariants) as Invariant[]

export interface Violation {
  readonly invariant: Invariant
  /** The query, session, user or node that it is about. */
  readonly subject: string
  readonly words: string
  /** Operations, frames and rows that show it. */
  readonly evidence: readonly unknown[]
}

export interface Report {
  readonly violations: readonly Violation[]
  /** How many things were looked at: by invariant, by what they are. An invariant with nothing here was not checked. */
  readonly looked: Readonly<Record<Invariant, Readonly<Record<string, number>>>>
  /** Answers by operation and status or code. */
  readonly answers: Readonly<Record<string, number>>
}

export class Findings {
  readonly violations: Violation[] = []
  readonly looked = Object.fromEntries(invariantNames.map(name => [name, {}])) as Record<
    Invariant,
    Record<string, number>
  >

  broken(invariant: Invariant, subject: string, words: string, ...evidence: readonly unknown[]): void {
    this.violations.push({ invariant, subject, words, evidence })
  }

  /** `what` in the plural. */
  lookedAt(invariant: Invariant, what: string, count = 1): void {
    const counts = this.looked[invariant]
    counts[what] = (counts[what] ?? 0) + count
  }
}
