/** Waiting for what will be, instead of for a time: asks until the answer satisfies, and says what the last answer was if it never does. */
import { setTimeout } from 'node:timers/promises'

export interface EventuallyOptions {
  /** What is waited for, for the message of a failure; asked when it has failed. */
  readonly what?: string | (() => string)
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
  let seen = 'nothing'
  for (;;) {
    try {
      const answer = await within(ask(), giveUpAt - performance.now())
      if (satisfied(answer)) return answer
      seen = JSON.stringify(answer) ?? String(answer)
    } catch (error) {
      seen = error === neverAnswered ? `${seen}, then no answer at all` : String(error)
    }
    if (performance.now() > giveUpAt)
      throw new Error(
        `${typeof what === 'string' ? what : what()} did not come within ${withinMs} ms; last seen: ${seen.slice(0, 2000)}`,
      )
    await setTimeout(periodMs)
  }
}

const neverAnswered = new Error('asked, but never answered')

/** A question that is never answered is an answer too. */
async function within<Answer>(answer: Answer | Promise<Answer>, limitMs: number): Promise<Answer> {
  const ended = new AbortController()
  try {
    const late = setTimeout(Math.max(1, limitMs), undefined, { signal: ended.signal }).then(() => {
      throw neverAnswered
    })
    late.catch(() => {})
    return await Promise.race([answer, late])
  } finally {
    ended.abort()
  }
}
