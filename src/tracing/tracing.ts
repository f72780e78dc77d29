/**
 * Spans to a collector, by OTLP over HTTP. Loaded only where the environment asks for it (`settings.ts`): a node without has neither the
 * packages in memory nor a line of them on its paths. A collector that is away costs spans, never a request: what waits is bounded.
 */
import { ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, TraceFlags, type Tracer, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  type IdGenerator,
  ParentBasedSampler,
  RandomIdGenerator,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import { type Clock, deferred } from '../async/index.ts'
import { formatTraceParent, parseTraceParent, type TraceParent } from '../domain/index.ts'
import type { RequestSpan, Tracing, TracingOptions } from './contract.ts'
import { type EndedSpan, QuerySpans, type TracedStep } from './query-spans.ts'
import type { TracingSettings } from './settings.ts'

/** A node that leaves waits so long for its last spans. */
const lastSpansMs = 2_000

/** Random ids, but for the next span where somebody says which. */
class PlannedIds implements IdGenerator {
  readonly #random = new RandomIdGenerator()
  next: string | undefined

  generateTraceId = (): string => this.#random.generateTraceId()

  generateSpanId = (): string => {
    const id = this.next ?? this.#random.generateSpanId()
    this.next = undefined
    return id
  }
}

export class OtlpTracing implements Tracing {
  readonly #provider: TracerProvider
  readonly #tracer: Tracer
  readonly #ids = new PlannedIds()
  readonly #spans: QuerySpans
  readonly #clock: Clock

  constructor({ node, version, clock }: TracingOptions, { sampler, batch }: TracingSettings) {
    this.#clock = clock
    this.#spans = new QuerySpans(node)
    this.#provider = new TracerProvider({
      // Later ones win: whoever names the service in the environment means it.
      resource: defaultResource()
        .merge(
          resourceFromAttributes({
            'service.name': 'lens-ha',
            'service.version': version,
            'service.instance.id': node,
          }),
        )
        .merge(detectResources({ detectors: [envDetector] })),
      sampler: samplerOf(sampler),
      idGenerator: this.#ids,
      spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter(), ...batch })],
    })
    this.#tracer = this.#provider.getTracer('lens-ha', version)
  }

  request(method: string, traceparent: string | undefined): RequestSpan {
    const parent = parseTraceParent(traceparent)
    const span = this.#tracer.startSpan(
      method,
      { kind: SpanKind.SERVER, attributes: { 'http.request.method': method } },
      parent ? under(parent) : ROOT_CONTEXT,
    )
    return {
      traceparent: formatTraceParent(contextOf(span)),
      end: (route, status) => endRequest(span, method, route, status),
    }
  }

  steps(steps: readonly TracedStep[]): void {
    for (const step of steps) for (const ended of this.#spans.of(step)) this.#write(ended)
  }

  takeover(cause: string, queries: number, seconds: number): void {
    const endedAt = this.#clock.now()
    this.#tracer
      .startSpan(
        'takeover',
        {
          startTime: endedAt - seconds * 1000,
          attributes: { 'lens.takeover.cause': cause, 'lens.takeover.queries': queries },
        },
        ROOT_CONTEXT,
      )
      .end(endedAt)
  }

  async close(): Promise<void> {
    const last = deferred()
    const cancel = this.#clock.after(lastSpansMs, () => last.resolve())
    await Promise.race([this.#provider.shutdown().catch(() => undefined), last.promise])
    cancel()
  }

  #write({ name, kind, traceId, parentId, spanId, startedAt, endedAt, attributes, error }: EndedSpan): void {
    this.#ids.next = spanId
    const options = { kind, attributes, startTime: new Date(startedAt) }
    const span = this.#tracer.startSpan(name, options, under({ traceId, spanId: parentId, sampled: true }))
    if (error) span.setAttribute('error.type', error).setStatus({ code: SpanStatusCode.ERROR, message: error })
    span.end(new Date(endedAt))
  }
}

function under({ traceId, spanId, sampled }: TraceParent) {
  const traceFlags = sampled ? TraceFlags.SAMPLED : TraceFlags.NONE
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true })
}

function contextOf(span: Span): TraceParent {
  const { traceId, spanId, traceFlags } = span.spanContext()
  return { traceId, spanId, sampled: (traceFlags & TraceFlags.SAMPLED) !== 0 }
}

function endRequest(span: Span, method: string, route: string, status: number): void {
  span.updateName(`${method} ${route}`).setAttributes({ 'http.route': route, 'http.response.status_code': status })
  if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
  span.end()
}

function samplerOf({ kind, ratio, parentBased }: TracingSettings['sampler']) {
  const root =
    kind === 'always_on'
      ? new AlwaysOnSampler()
      : kind === 'always_off'
        ? new AlwaysOffSampler()
        : new TraceIdRatioBasedSampler(ratio)
  return parentBased ? new ParentBasedSampler({ root }) : root
}
