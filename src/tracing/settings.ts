/** Whether to trace and how, by the standard variables of OpenTelemetry; what the exporter and the resource read themselves is not here. */

export interface TracingSettings {
  readonly sampler: {
    readonly kind: 'always_on' | 'always_off' | 'traceidratio'
    readonly ratio: number
    readonly parentBased: boolean
  }
  readonly batch: {
    readonly scheduledDelayMillis: number
    readonly exportTimeoutMillis: number
    readonly maxQueueSize: number
    readonly maxExportBatchSize: number
  }
}

type Environment = Readonly<Record<string, string | undefined>>

const samplers = ['always_on', 'always_off', 'traceidratio'] as const

/** Null: nothing asks for traces. Throws on what it does not know, with what was expected. */
export function tracingSettings(env: Environment): TracingSettings | null {
  const value = (name: string) => env[name]?.trim() || undefined
  if (value('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return null
  const endpoint = value('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') ?? value('OTEL_EXPORTER_OTLP_ENDPOINT')
  const exporter = value('OTEL_TRACES_EXPORTER') ?? (endpoint === undefined ? 'none' : 'otlp')
  if (exporter === 'none') return null
  if (exporter !== 'otlp') throw new Error(`OTEL_TRACES_EXPORTER: expected otlp or none, found "${exporter}"`)
  for (const name of ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL']) {
    const protocol = value(name)
    if (protocol !== undefined && protocol !== 'http/protobuf')
      throw new Error(`${name}: expected http/protobuf, found "${protocol}"`)
  }
  if (endpoint !== undefined && !/^https?:$/.test(URL.parse(endpoint)?.protocol ?? ''))
    throw new Error('OTEL_EXPORTER_OTLP_ENDPOINT: expected an http or https URL')
  const number = (
    name: string,
    otherwise: number,
    isGood = (found: number) => Number.isInteger(found) && found > 0,
  ) => {
    const text = value(name)
    if (text === undefined) return otherwise
    if (!isGood(Number(text))) throw new Error(`${name}: expected a number above 0, found "${text}"`)
    return Number(text)
  }
  const named = value('OTEL_TRACES_SAMPLER') ?? 'parentbased_always_on'
  const kind = samplers.find(known => known === named.replace('parentbased_', ''))
  if (kind === undefined)
    throw new Error(
      `OTEL_TRACES_SAMPLER: expected one of ${samplers.flatMap(known => [known, `parentbased_${known}`]).join(', ')}, found "${named}"`,
    )
  const maxQueueSize = number('OTEL_BSP_MAX_QUEUE_SIZE', 2048)
  return {
    sampler: {
      kind,
      ratio: number('OTEL_TRACES_SAMPLER_ARG', 1, found => found >= 0 && found <= 1),
      parentBased: named.startsWith('parentbased_'),
    },
    batch: {
      scheduledDelayMillis: number('OTEL_BSP_SCHEDULE_DELAY', 5_000),
      exportTimeoutMillis: number('OTEL_BSP_EXPORT_TIMEOUT', 30_000),
      maxQueueSize,
      maxExportBatchSize: Math.min(maxQueueSize, number('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 512)),
    },
  }
}
