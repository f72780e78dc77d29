/** What only the leader does: each duty is a service that starts with a term and stops when the term is lost. */

/** One leadership. Everything that a leader writes carries its number. */
export interface Term {
  readonly number: number
  /** Aborts when the leadership ends. */
  readonly signal: AbortSignal
  /** False as soon as leadership is in doubt. */
  valid(): boolean
}

export interface LeaderDuty {
  start(term: Term): void
  /** Safe twice and before `start`; resolves when nothing of it runs any more. */
  stop(): Promise<void>
}
