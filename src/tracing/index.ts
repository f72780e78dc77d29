import type { Tracing, TracingOptions } from './contract.ts'
import { tracingSettings } from './settings.ts'

export type { RequestSpan, Tracing } from './contract.ts'

/** Null where no variable of OpenTelemetry asks for traces. Rejects on values that it does not know. */
export async function openTracing(
  env: Readonly<Record<string, string | undefined>>,
  options: TracingOptions,
): Promise<Tracing | null> {
  const settings = tracingSettings(env)
  if (!settings) return null
  const { OtlpTracing } = await import('./tracing.ts')
  return new OtlpTracing(options, settings)
}
