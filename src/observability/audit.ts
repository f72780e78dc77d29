/**
 * The audit log: who did what, one JSON line each, in a file of its own. A line is with the kernel before its deed is answered, so
 * that no end of the process loses it; who reads the file finds every deed that any client was told of.
 */
import { pino } from 'pino'

export type AuditEvent =
  | 'session.opened'
  | 'session.changed'
  | 'session.closed'
  | 'query.submitted'
  | 'query.cancelled'
  | 'rows.read'
  | 'result.dropped'
  | 'statement.prepared'
  | 'node.drained'
  | 'log-level.changed'
  | 'delivery.repeated'

/** One deed, done or refused. */
export interface AuditEntry {
  readonly event: AuditEvent
  /** `ok`, or the code of the error that it was answered with. */
  readonly outcome: string
  readonly user: string | null
  readonly session?: string
  readonly handle?: string
  /** Where the call came from. */
  readonly address?: string
  readonly requestId?: string
  /** W3C Trace Context, where the call was part of a trace. */
  readonly traceparent?: string
  /** What else tells what was done: the statement, the rows asked for, the node. */
  readonly details?: Readonly<Record<string, string | number | boolean | null>>
}

export interface AuditLog {
  record(entry: AuditEntry): void
  /** Goes on in a file of the same name: the one before was moved away. */
  reopen(): void
  close(): void
}

/** `file` `-` is standard output; `now` tells the time in milliseconds since 1970. */
export function openAuditLog(file: string, node: string, now: () => number): AuditLog {
  const destination = pino.destination({ dest: file === '-' ? 1 : file, sync: true, mkdir: true, append: true })
  return {
    record: entry =>
      destination.write(`${JSON.stringify({ time: new Date(now()).toISOString(), audit: true, node, ...entry })}\n`),
    reopen: () => {
      if (file !== '-') destination.reopen()
    },
    close: () => destination.end(),
  }
}
