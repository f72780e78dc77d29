/** Follows one query that somebody submitted, from step to step, until it has ended; the query never notices. */
import type { Clock } from '../../async/index.ts'
import type { LensClient, QueryView, TransitionView } from '../../client/index.ts'
import { type ExitCode, exitCodes } from '../exit-codes.ts'
import { failureLine } from '../run-query.ts'
import type { Terminal } from '../terminal.ts'
import { LineSteps } from './line-steps.ts'
import { TerminalSteps } from './terminal-steps.ts'

/** Shows the steps of one query. */
export interface Steps {
  /** Called once, before all steps. */
  begin(query: QueryView): Promise<void>
  /** The next version; its transition where the server still has it. */
  step(query: QueryView, transition: TransitionView | null): Promise<void>
  progress(progress: QueryView['progress']): void
  /** Nothing more comes. Safe twice. */
  end(): void
}

/** Exit code by outcome. The end of `interrupt` ends the looking, not the query. */
export async function watchQuery(
  client: LensClient,
  terminal: Terminal,
  handle: string,
  interrupt: AbortSignal,
  clock: Clock,
): Promise<ExitCode> {
  const query = client.handle(handle)
  const signal = interrupt
  const steps: Steps = terminal.drawable ? new TerminalSteps(terminal, clock) : new LineSteps(terminal)
  const known = new Map<number, TransitionView>()
  const transitionOf = async (version: number): Promise<TransitionView | null> => {
    if (!known.has(version)) {
      for (const transition of await query.transitions({ signal })) known.set(transition.version, transition)
    }
    return known.get(version) ?? null
  }
  let latest: QueryView | null = null
  try {
    await steps.begin(await query.status({ signal }))
    for await (const next of query.changes({ onProgress: progress => steps.progress(progress), signal })) {
      await steps.step(next, await transitionOf(next.version))
      latest = next
    }
  } catch (error) {
    if (!interrupt.aborted) throw error
  } finally {
    steps.end()
  }
  if (latest === null || latest.outcome === null) {
    terminal.err(`The query runs on. "lens watch ${handle}" follows it again, "lens cancel ${handle}" ends it.\n`)
    return exitCodes.interrupted
  }
  if (latest.outcome === 'SUCCESSFUL') return exitCodes.success
  terminal.err(`${failureLine(latest)}\n`)
  return exitCodes.failed
}
