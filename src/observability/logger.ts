/** The log: JSON lines, one vocabulary of fields, secrets removed. Who logs gets a child of the node's logger, never a global. */
import { type DestinationStream, type Logger as PinoLogger, pino, stdSerializers, stdTimeFunctions } from 'pino'
import { maskText, redacted, withoutStatements } from './redaction.ts'

/** The fields that tell where a line belongs; given to `child`, so that every line of that part carries them. */
export interface LogContext {
  readonly node?: string
  readonly incarnation?: string
  readonly term?: number
  readonly session?: string
  readonly handle?: string
  readonly epoch?: number
  readonly engine?: string
  readonly requestId?: string
  /** The part of the program that speaks. */
  readonly part?: string
}

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'
type Write = (fieldsOrMessage: object | string, message?: string) => void

/** What the parts of the program use. An error goes under `err`. */
export interface Logger extends Readonly<Record<Exclude<LogLevel, 'silent'>, Write>> {
  /** Whether lines of this level are written; to spare costly fields. */
  isLevelEnabled(level: LogLevel): boolean
  child(context: LogContext): Logger
}

/** The node's own, to which all others are children. */
export interface LevelledLogger extends Logger {
  /** A `LogLevel`. Set here, it is that of all children, which have none of their own. */
  level: string
}

export interface LoggerOptions {
  readonly level: LogLevel
  /** Fields of every line. */
  readonly context?: LogContext
  /** Asked for with every line: what changes while the process runs. A field of the line's own wins. */
  readonly facts?: () => LogContext
  /** Standard output unless given. Written synchronously, so that the last line before a crash is there. */
  readonly destination?: DestinationStream
}

/** A pino logger; what uses it asks for no more than `Logger`. */
export function createLogger(options: LoggerOptions): PinoLogger {
  const { level, context = {}, facts, destination } = options
  const settings = {
    level,
    base: { pid: process.pid, ...context },
    ...(facts ? { mixin: facts as () => object } : {}),
    timestamp: stdTimeFunctions.isoTime,
    serializers: { err: serializeError, error: serializeError },
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (fields: object) => redacted(fields) as Record<string, unknown>,
    },
    hooks: {
      // The message is not part of the fields, so it is masked here.
      logMethod(
        this: PinoLogger,
        args: Parameters<PinoLogger['info']>,
        method: (...args: Parameters<PinoLogger['info']>) => void,
      ) {
        const [first, message] = args as [unknown, unknown]
        const error = first instanceof Error ? first : (first as { err?: unknown } | null)?.err
        // Left alone, pino would take the message of a lone error as it is.
        const text = message ?? (error instanceof Error ? error.message : undefined)
        const masked = typeof text === 'string' ? maskText(text) : text
        if (typeof first === 'string') method.call(this, maskText(first))
        else method.call(this, first instanceof Error ? { err: first } : first, masked as string | undefined)
      },
    },
  }
  return destination ? pino(settings, destination) : pino(settings)
}

/** For parts that run without a log, and for tests. */
export const silentLogger: Logger = createLogger({ level: 'silent' })

function serializeError(error: unknown): unknown {
  return error instanceof Error ? redacted(withoutStatements(stdSerializers.err(error))) : redacted(error)
}
