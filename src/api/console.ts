/**
 * The console: files that were built before, served to anybody, since they hold nothing of anybody. Every address of a page
 * answers the same document; what is in `assets/` has its content in its name and is never asked for twice.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { LensError } from '../domain/index.ts'
import type { Application } from './context.ts'
import type { MemberOrigins } from './member-origins.ts'

/** Beside the sources and beside the compiled files alike. */
export const builtConsole = fileURLToPath(new URL('../../dist/console/', import.meta.url))

const pages = ['/', '/queries/:handle', '/machines', '/machines/:handle', '/cluster', '/sessions']

const mediaTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
}
/** Copies that the build made, best first. */
const encodings = [
  ['br', '.br'],
  ['gzip', '.gz'],
] as const

const notBuilt = `The console of this node is not built. Build it beside its sources:

    npm run build:console

Everything else is served: /openapi.json says what.
`

export function consoleRoutes(app: Application, origins: Pick<MemberOrigins, 'all'>, folder = builtConsole): void {
  const options = { config: { early: true }, exposeHeadRoute: true, schema: { hide: true } } as const
  for (const page of pages) {
    app.get(page, options, async (request, reply) => {
      // `GET *` and other oddities end up at `/` too.
      if (!request.url.startsWith('/')) absent()
      reply.headers({ 'content-security-policy': pagePolicy, 'cache-control': 'no-cache' })
      const sent = await sendFile(request, reply, join(folder, 'index.html'), true)
      return sent ?? reply.code(503).type('text/plain; charset=utf-8').send(notBuilt)
    })
  }
  app.get('/reach', options, async (_request, reply) => {
    const members = origins.all()
    reply.headers({ 'content-security-policy': reachPolicy(members), 'cache-control': 'no-store' })
    return reply.type('text/html; charset=utf-8').send(reachDocument(members))
  })
  app.get('/icon.svg', options, async (request, reply) => {
    reply.header('cache-control', 'no-cache')
    return (await sendFile(request, reply, join(folder, 'icon.svg'), true)) ?? absent()
  })
  app.get<{ Params: { name: string } }>('/assets/:name', options, async (request, reply) => {
    const { name } = request.params
    // A name of one of our own files: no separators, nothing hidden, and an ending that we serve.
    if (!/^[\w-][\w.-]*$/.test(name) || !(extname(name) in mediaTypes)) return absent()
    const file = join(folder, 'assets', name)
    const sent = await sendFile(request, reply, file, false)
    return sent ?? absent()
  })
}

/** null when there is no such file. `revalidated` ones carry an ETag, and are not sent again to who has them. */
async function sendFile(
  request: FastifyRequest,
  reply: FastifyReply,
  file: string,
  revalidated: boolean,
): Promise<FastifyReply | null> {
  const accepted = acceptedEncodings(request.headers['accept-encoding'])
  const [encoding, bytes] = (await firstOf(file, accepted)) ?? []
  if (!bytes) return null
  reply.header('vary', 'accept-encoding').type(mediaTypes[extname(file)] ?? 'application/octet-stream')
  if (encoding) reply.header('content-encoding', encoding)
  if (!revalidated) return reply.header('cache-control', 'public, max-age=31536000, immutable').send(bytes)
  const tag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`
  reply.header('etag', tag)
  const known = request.headers['if-none-match']?.split(',').map(each => each.trim().replace(/^W\//, ''))
  return known?.includes(tag) ? reply.code(304).send() : reply.send(bytes)
}

async function firstOf(file: string, accepted: readonly string[]): Promise<[string | null, Buffer] | null> {
  for (const [encoding, ending] of encodings) {
    const bytes = accepted.includes(encoding) ? await read(file + ending) : null
    if (bytes) return [encoding, bytes]
  }
  const bytes = await read(file)
  return bytes ? [null, bytes] : null
}

async function read(file: string): Promise<Buffer | null> {
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR' || error.code === 'EISDIR') return null
    throw error
  })
}

function acceptedEncodings(header: string | string[] | undefined): string[] {
  return [header ?? '']
    .flat()
    .join(',')
    .toLowerCase()
    .split(',')
    .map(each => each.trim().split(/\s*;\s*/))
    .filter(([, quality]) => !/^q=0(\.0*)?$/.test(quality ?? ''))
    .map(([name = '']) => name)
}

/** Only what this node serves. Calls to other members are made from within `/reach`, whose policy is as new as it can be. */
const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "frame-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "form-action 'none'",
].join('; ')

/**
 * A policy holds for as long as its document lives, and members come and go. So a page loads this document, which does nothing, in
 * a frame of its own, anew when members have come, and calls them with that window's `fetch` and `WebSocket`: it goes on at a
 * member that it had never heard of when it was loaded.
 */
function reachPolicy(members: readonly string[]): string {
  const sockets = members.map(origin => origin.replace(/^http/, 'ws'))
  return [
    "default-src 'none'",
    `connect-src ${["'self'", ...members, ...sockets].join(' ')}`,
    "base-uri 'none'",
    "frame-ancestors 'self'",
    "form-action 'none'",
  ].join('; ')
}

/** Says whom its policy admits: a page cannot read the policy itself. Origins need no escaping (`member-origins.ts`). */
function reachDocument(members: readonly string[]): string {
  const items = members.map(origin => `<li>${origin}</li>`).join('')
  return `<!doctype html><html lang="en"><title>Members that this page may call</title><ul>${items}</ul></html>`
}

function absent(): never {
  throw new LensError('NOT_FOUND', 'There is nothing under this path.')
}
