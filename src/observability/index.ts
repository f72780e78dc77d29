export {
  createLogger,
  type LogContext,
  type Logger,
  type LoggerOptions,
  type LogLevel,
  silentLogger,
} from './logger.ts'
export { createMetrics, type Metrics } from './metrics.ts'
export { maskText } from './redaction.ts'
