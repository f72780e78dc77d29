/** Waiting for what will be, instead of for a time: asks until the answer satisfies, and says what the last answer was if it never does. */
import { setTimeout } from 'node:timers/promises'

export interface EventuallyOptions {
  /** What is waited for, for the message of a failure. */
  readonly what?: string
  /** Gives up after this long, in milliseconds; generous, since only a broken system gets there. */
  readonly withinMs?: number
  readonly periodMs?: number
}

/** Calls `ask` until `satisfied` holds of its answer (by default: it is truthy), and gives that answer. Errors of `ask` count as unsatisfied. */
export async function eventually<Answer>(
  ask: () => Answer | Promise<Answer>,
  satisfied: (answer: Answer) => boolean = Boolean,
  options: EventuallyOptions = {},
): Promise<Answer> {
  const { what = 'the condition', withinMs = 60_000, periodMs = 10 } = options
  const giveUpAt = performance.now() + withinMs
  for (;;) {
    let seen: string
    try {
      const answer = await ask()
      if (satisfied(answer)) return answer
      seen = JSON.stringify(answer) ?? String(answer)
    } catch (error) {
      seen = String(error)
    }
    if (performance.now() > giveUpAt)
      throw new Error(`${what} did not come within ${withinMs} ms; last seen: ${seen.slice(0, 2000)}`)
    await setTimeout(periodMs)
  }
}
