/**
 * The level of a node's log at run time. It is the process's own: nothing durable, so that a restart always brings back what
 * the configuration says.
 *
 *     configured ──change(level)──▶ changed ──change(null), or its time is over──▶ configured
 */
import type { CancelTimer, Clock } from '../async/index.ts'
import type { LevelledLogger, LogLevel } from './logger.ts'

export interface LogLevelState {
  readonly level: LogLevel
  readonly configured: LogLevel
  /** ISO 8601; null: it stays. */
  readonly revertsAt: string | null
}

export class LogLevelControl {
  readonly #logger: LevelledLogger
  readonly #configured: LogLevel
  readonly #clock: Clock
  #revertsAt: string | null = null
  #cancelReturn: CancelTimer | null = null

  constructor(logger: LevelledLogger, configured: LogLevel, clock: Clock) {
    this.#logger = logger
    this.#configured = configured
    this.#clock = clock
  }

  get state(): LogLevelState {
    return { level: this.#logger.level as LogLevel, configured: this.#configured, revertsAt: this.#revertsAt }
  }

  /** `level` null: the configured one. After `forMs`, unless that is null, the configured one returns; a later change replaces both. */
  change({ level, forMs }: { readonly level: LogLevel | null; readonly forMs: number | null }): LogLevelState {
    this.stop()
    if (level === null) this.#set(this.#configured)
    else {
      if (forMs !== null) {
        this.#revertsAt = new Date(this.#clock.now() + forMs).toISOString()
        this.#cancelReturn = this.#clock.after(forMs, () => this.change({ level: null, forMs: null }))
      }
      this.#set(level)
    }
    return this.state
  }

  /** No return any more. Safe twice. */
  stop(): void {
    this.#cancelReturn?.()
    this.#cancelReturn = null
    this.#revertsAt = null
  }

  /** Said at whichever of the two levels lets it through: who reads the log learns why it falls silent. */
  #set(level: LogLevel): void {
    const from = this.#logger.level
    const say = () => this.#logger.info({ from, to: level, revertsAt: this.#revertsAt }, 'the log level is another')
    if (from === level) return
    const before = this.#logger.isLevelEnabled('info')
    if (before) say()
    this.#logger.level = level
    if (!before) say()
  }
}
