export { type AuditEntry, type AuditEvent, type AuditLog, openAuditLog } from './audit.ts'
export { aboutMember, aboutQuery } from './log-fields.ts'
export { LogLevelControl, type LogLevelState } from './log-level.ts'
export {
  createLogger,
  type LevelledLogger,
  type LogContext,
  type Logger,
  type LoggerOptions,
  type LogLevel,
  silentLogger,
} from './logger.ts'
export { createMetrics, type Metrics } from './metrics.ts'
export { maskText, redacted } from './redaction.ts'
