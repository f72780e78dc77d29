/** Ctrl-C as a signal: the first asks to end in order, the second ends at once. */
import { exitCodes } from './exit-codes.ts'

export interface Interrupt {
  readonly signal: AbortSignal
  /** Gives Ctrl-C its ordinary effect back. */
  stop(): void
}

export function interruptOf(process: NodeJS.Process): Interrupt {
  const controller = new AbortController()
  const interrupted = () => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted)
    controller.abort(new Error('interrupted'))
  }
  process.on('SIGINT', interrupted)
  process.on('SIGTERM', interrupted)
  return {
    signal: controller.signal,
    stop() {
      process.off('SIGINT', interrupted)
      process.off('SIGTERM', interrupted)
    },
  }
}
