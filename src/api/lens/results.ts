/**
 * Rows for Lens's clients: their columns, the rows as XML or JSON, and the file over HTTP. Both bodies are streamed; one that
 * cannot be completed is cut without its last chunk, so that nobody takes it for the whole.
 */

import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { Principal } from '../../gateway/index.ts'
import { aboutRequest } from '../access.ts'
import { stalledReaderMs } from '../bounds.ts'
import type { ApiContext } from '../context.ts'
import { apiResult, resultRow, resultSetMetadata } from './answers.ts'
import { type Call, formOf, mediaTypeOf } from './call.ts'
import { element, type Form, namespaces, plain, prolog } from './document.ts'
import type { Route } from './index.ts'

export function resultRoutes(route: Route, { gateway, config, logger }: ApiContext): void {
  const { pageRowsMax } = config.limits

  route('GET', '/queryapi/queries/:handle/resultsetmetadata', 'text', async call => {
    const { columns } = await gateway.rows(await call.principal(), call.handle, 0, 1)
    return { root: 'queryResultSetMetadata', content: resultSetMetadata(columns) }
  })

  route('GET', '/queryapi/queries/:handle/resultset', 'text', async call => {
    const principal = await call.principal()
    const first = call.count('fromindex') ?? 0
    const count = call.count('fetchsize') || Number.POSITIVE_INFINITY
    const form = formOf(call.request)
    // The first page before the first byte: what goes wrong there has a status of its own.
    const body = rowsAs(form, principal, call.handle, first, count)
    const beginning = await body.next()
    call.reply.type(mediaTypeOf(form)).header('vary', 'accept, origin')
    return sendStream(call, prepended(beginning.value as string, body))
  })

  route('GET', '/queryapi/queries/:handle/httpresultset', 'text', async call => {
    const principal = await call.principal()
    const { handle } = call
    // As it was submitted: whoever wants the names for one query alone says so in its configuration.
    const properties = (await gateway.queryProperties(principal, [handle])).get(handle)
    const { body } = await gateway.download(principal, handle, 'csv', 0)
    call.reply.type('application/octet-stream').header('content-disposition', `attachment; filename = ${handle}.csv`)
    const withHeader = properties?.['lens.query.output.write.header']?.trim().toLowerCase() === 'true'
    return sendStream(call, withHeader ? body : withoutHeader(body))
  })

  route('DELETE', '/queryapi/queries/:handle/resultset', 'apiResult', async call => {
    const { handle } = call
    await gateway.dropResult(await call.principal(), handle)
    return apiResult('SUCCEEDED', `Close result set of the query ${handle} is successful`)
  })

  async function* rowsAs(form: Form, principal: Principal, handle: string, first: number, count: number) {
    let offset: number | null = first
    let left = count
    let text =
      form === 'json' ? '{"inMemoryQueryResult":{"rows":[' : `${prolog}<inMemoryQueryResult${namespaces}><rows>`
    let separator = ''
    do {
      const page = await gateway.rows(principal, handle, offset, Math.min(left, pageRowsMax))
      for (const row of page.rows) {
        const content = resultRow(page.columns, row)
        text += form === 'json' ? separator + JSON.stringify(plain(content)) : element('rows', content)
        separator = ','
      }
      left -= page.rows.length
      offset = left > 0 ? page.nextOffset : null
      if (offset === null) text += form === 'json' ? ']}}' : '</rows></inMemoryQueryResult>'
      yield text
      text = ''
    } while (offset !== null)
  }

  function sendStream(call: Call, body: AsyncIterable<Uint8Array | string>): FastifyReply {
    const { reply, request } = call
    const stream = Readable.from(body, { objectMode: true, highWaterMark: 1 })
    stream.once('error', error => {
      if (!reply.raw.destroyed) logger.warn({ err: error, ...aboutRequest(request) }, 'a download was cut')
      // To HTTP/1.0, as some proxies speak it, a body ends where its connection does: it has to break.
      if (request.raw.httpVersion === '1.0') request.raw.socket.resetAndDestroy()
    })
    reply.raw.setTimeout(stalledReaderMs, () => reply.raw.destroy())
    return reply.send(stream)
  }
}

async function* prepended<Part>(first: Part, rest: AsyncIterable<Part>): AsyncIterable<Part> {
  yield first
  yield* rest
}

/** CSV without its first line, whose names may hold line feeds between quotes. */
export async function* withoutHeader(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let inHeader = true
  let quoted = false
  for await (const chunk of body) {
    let position = 0
    for (; inHeader && position < chunk.length; position++) {
      if (chunk[position] === 34) quoted = !quoted
      else if (chunk[position] === 10 && !quoted) inHeader = false
    }
    if (!inHeader && position < chunk.length) yield chunk.subarray(position)
  }
}
