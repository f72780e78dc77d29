/** A log that says nothing, unless LENS_TEST_LOG is set: then all of it, for whoever hunts a failure. */
import type { ClusterLog } from '../../../src/cluster/index.ts'

const startedAtMs = performance.now()

function line(level: string, part: string) {
  return (fields: object, message: string): void => {
    if (!process.env.LENS_TEST_LOG) return
    const error = (fields as { err?: unknown }).err
    const shown = error instanceof Error ? { ...fields, err: error.message } : fields
    process.stderr.write(
      `${(performance.now() - startedAtMs).toFixed(0)} ${part} ${level} ${message} ${JSON.stringify(shown)}\n`,
    )
  }
}

export function logOf(part: string): ClusterLog {
  return { debug: line('debug', part), info: line('info', part), warn: line('warn', part), error: line('error', part) }
}

export const quietLog = logOf('')
