/** A collector of traces: takes OTLP over HTTP as protocol buffers, and reads of them what tests ask for. */
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { eventually } from './conditions.ts'

export interface CollectedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string
  readonly name: string
  readonly kind: number
  readonly startNs: bigint
  readonly endNs: bigint
  readonly attributes: Readonly<Record<string, unknown>>
  /** 2: an error. */
  readonly status: number
  /** Of the process that wrote it. */
  readonly resource: Readonly<Record<string, unknown>>
}

export class TraceCollector {
  readonly spans: CollectedSpan[] = []
  /** All bytes that came. */
  received = Buffer.alloc(0)
  requests = 0
  answering: (response: ServerResponse) => void = response => void response.writeHead(200).end()
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(): Promise<TraceCollector> {
    const server = createServer()
    const collector = new TraceCollector(server)
    server.on('request', async (request, response) => {
      const body = Buffer.concat(await request.toArray())
      collector.requests++
      collector.received = Buffer.concat([collector.received, body])
      collector.spans.push(...spansOf(body))
      collector.answering(response)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return collector
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  of(traceId: string): CollectedSpan[] {
    return this.spans.filter(span => span.traceId === traceId)
  }

  /** Waits until the trace has spans of all these names. */
  trace(traceId: string, ...names: string[]): Promise<CollectedSpan[]> {
    return eventually(
      () => this.of(traceId),
      spans => names.every(name => spans.some(span => span.name === name)),
      { what: () => `${names.join(', ')}; there are ${JSON.stringify(this.of(traceId).map(({ name }) => name))}` },
    )
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** A message's fields by number: varints and fixed numbers as bigint, all else as bytes. */
function fieldsOf(bytes: Buffer): Map<number, (bigint | Buffer)[]> {
  const fields = new Map<number, (bigint | Buffer)[]>()
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes.readUInt8(at++)
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const take = (length: number) => {
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const type = tag & 7
    const value =
      type === 0 ? varint() : type === 1 ? take(8).readBigUInt64LE() : type === 5 ? take(4) : take(Number(varint()))
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value])
  }
  return fields
}

const messages = (fields: Map<number, (bigint | Buffer)[]>, number: number) => (fields.get(number) ?? []) as Buffer[]
const text = (fields: Map<number, (bigint | Buffer)[]>, number: number) => String(fields.get(number)?.[0] ?? '')
const hex = (fields: Map<number, (bigint | Buffer)[]>, number: number) =>
  (fields.get(number)?.[0] as Buffer | undefined)?.toString('hex') ?? ''

function attributesOf(fields: Map<number, (bigint | Buffer)[]>, number: number): Record<string, unknown> {
  return Object.fromEntries(
    messages(fields, number).map(bytes => {
      const pair = fieldsOf(bytes)
      const value = fieldsOf(pair.get(2)?.[0] as Buffer)
      return [text(pair, 1), value.has(1) ? text(value, 1) : Number(value.get(3)?.[0] ?? Number.NaN)]
    }),
  )
}

function spansOf(body: Buffer): CollectedSpan[] {
  return messages(fieldsOf(body), 1).flatMap(resourceSpans => {
    const fields = fieldsOf(resourceSpans)
    const [described] = messages(fields, 1)
    const resource = described ? attributesOf(fieldsOf(described), 1) : {}
    return messages(fields, 2).flatMap(scopeSpans =>
      messages(fieldsOf(scopeSpans), 2).map(bytes => {
        const span = fieldsOf(bytes)
        const [status] = messages(span, 15)
        return {
          ...{ traceId: hex(span, 1), spanId: hex(span, 2), parentId: hex(span, 4), name: text(span, 5) },
          ...{
            kind: Number(span.get(6)?.[0] ?? 0),
            startNs: span.get(7)?.[0] as bigint,
            endNs: span.get(8)?.[0] as bigint,
          },
          attributes: attributesOf(span, 9),
          status: status ? Number(fieldsOf(status).get(3)?.[0] ?? 0) : 0,
          resource,
        }
      }),
    )
  })
}
