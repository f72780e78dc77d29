/**
 * Rows of a finished query: pages of JSON, or the whole as JSON lines, CSV or Arrow, streamed no faster than the client
 * reads. A body that cannot be completed is cut without its last chunk, so that nobody takes it for the whole.
 */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { ResultFormat } from '../../gateway/index.ts'
import { aboutRequest, requireSession } from '../access.ts'
import { columnsHeaderBytesMax, stalledReaderMs } from '../bounds.ts'
import type { ApiContext, Application } from '../context.ts'
import { invalid } from '../problem.ts'
import { chooseMediaType } from './media-types.ts'
import { handlePath } from './requests.ts'
import { answers, problems } from './schemas.ts'

const formats: Readonly<Record<string, ResultFormat>> = {
  'application/x-ndjson': 'ndjson',
  'text/csv': 'csv',
  'application/vnd.apache.arrow.stream': 'arrow',
}
const mediaTypes = ['application/json', ...Object.keys(formats)]
const pageRowsDefault = 1000

export function resultRoutes(app: Application, context: ApiContext): void {
  const { gateway, logger } = context
  const { limits } = context.config
  const onRequest = requireSession(context)
  const tags = ['Queries']
  const binary = Type.Unsafe<unknown>({ type: 'string', format: 'binary' })

  app.get(
    '/api/v1/queries/:handle/results',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'readRows',
        summary:
          'Rows of a finished query: a page as JSON; all from `offset` on as JSON lines, CSV or Arrow by `Accept`.',
        params: handlePath,
        querystring: Type.Object(
          {
            offset: Type.Optional(
              Type.Integer({
                minimum: 0,
                maximum: Number.MAX_SAFE_INTEGER,
                default: 0,
                description: 'Rows to leave out.',
              }),
            ),
            limit: Type.Optional(
              Type.Integer({
                minimum: 1,
                maximum: limits.pageRowsMax,
                description: 'Rows of a page at the most; only for pages of JSON.',
              }),
            ),
          },
          { additionalProperties: false },
        ),
        response: {
          200: {
            description: 'Rows.',
            headers: {
              'Lens-Columns': {
                type: 'string',
                description: 'Of streamed formats: the columns as JSON, where they are few.',
              },
              'Lens-Row-Count': { type: 'integer', description: 'Of streamed formats: rows of the whole result.' },
            },
            content: {
              'application/json': { schema: answers.rows },
              ...Object.fromEntries(Object.keys(formats).map(type => [type, { schema: binary }])),
            },
          },
          ...problems,
        },
      },
    },
    async (request, reply) => {
      const handle = request.params.handle.toLowerCase()
      const { offset = 0, limit } = request.query
      const mediaType = chooseMediaType(request.headers.accept, mediaTypes)
      if (mediaType === undefined) throw invalid(`header accept: expected one of ${mediaTypes.join(', ')}`)
      reply.header('vary', 'accept, origin')
      const format = formats[mediaType]
      if (format) {
        if (limit !== undefined) throw invalid('query.limit: expected only with pages of application/json')
        return sendWhole(request, reply, handle, format, mediaType, offset)
      }
      const page = await gateway.rows(
        request.principal,
        handle,
        offset,
        limit ?? Math.min(pageRowsDefault, limits.pageRowsMax),
      )
      return reply.type('application/json').send(page as never)
    },
  )

  app.delete(
    '/api/v1/queries/:handle/results',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'dropRows',
        summary: 'Drops the rows of a finished query; its status becomes CLOSED.',
        params: handlePath,
        response: { 204: answers.empty('Dropped.'), ...problems },
      },
    },
    async (request, reply) => {
      await gateway.dropResult(request.principal, request.params.handle.toLowerCase())
      return reply.code(204).send(null)
    },
  )

  async function sendWhole(
    request: FastifyRequest,
    reply: FastifyReply,
    handle: string,
    format: ResultFormat,
    mediaType: string,
    offset: number,
  ): Promise<FastifyReply> {
    const { columns, rowCount, body } = await gateway.download(request.principal, handle, format, offset)
    const header = asciiJson(columns)
    if (header.length <= columnsHeaderBytesMax) reply.header('lens-columns', header)
    reply.header('lens-row-count', String(rowCount))
    reply.type(mediaType === 'text/csv' ? 'text/csv; charset=utf-8; header=present' : mediaType)

    const stream = Readable.from(body, { objectMode: true, highWaterMark: 1 })
    stream.once('error', error => {
      if (!reply.raw.destroyed) logger.warn({ err: error, ...aboutRequest(request) }, 'a download was cut')
    })
    reply.raw.setTimeout(stalledReaderMs, () => reply.raw.destroy())
    return reply.send(stream)
  }
}

/** JSON that a header can carry: everything beyond ASCII escaped. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[^\x20-\x7e]/g,
    unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
