/** The process of the server: HTTP on one side, the test's commands on the other. Ends with the process that started it. */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { DuckDBInstance } from '@duckdb/node-api'
import type {
  AnswerMessage,
  Command,
  CommandMessage,
  HistoryEntry,
  Match,
  RequestKind,
  StartedOptions,
} from './control.ts'
import { Faults, matches } from './faults.ts'
import { type Answer, Query, refused, type Segment } from './query.ts'
import { codes, TrinoFailure } from './sql.ts'

type Entry = { -readonly [Key in keyof HistoryEntry]: HistoryEntry[Key] }

const kinds: readonly (readonly [RequestKind, string, RegExp])[] = [
  ['post', 'POST', /^\/v1\/statement$/],
  ['queued', 'GET', /^\/v1\/statement\/(queued)\/([^/]+)\/([^/]+)\/(\d+)$/],
  ['executing', 'GET', /^\/v1\/statement\/(executing)\/([^/]+)\/([^/]+)\/(\d+)$/],
  ['cancel', 'DELETE', /^\/v1\/statement\/(queued|executing)\/([^/]+)\/([^/]+)\/(\d+)$/],
  ['query', 'GET', /^\/v1\/(query)\/([^/]+)$/],
  ['segment', 'GET', /^\/v1\/spooled\/download\/()()([^/]+)$/],
  ['ack', 'GET', /^\/v1\/spooled\/ack\/()()([^/]+)$/],
  ['info', 'GET', /^\/v1\/info$/],
  ['node', 'GET', /^\/v1\/node$/],
]

const faults = new Faults()
const queries = new Map<string, Query>()
const segments = new Map<string, Segment>()
const history: Entry[] = []
const waiting = new Set<() => void>()
const sockets = new Set<Socket>()
const instance = await DuckDBInstance.create(':memory:')
let options: StartedOptions = {}
let port = 0
let server: Server | undefined
let ids = 0

process.on('message', ({ id, command }: CommandMessage) => {
  const answer = (message: AnswerMessage) => process.send?.(message)
  obey(command).then(
    value => answer({ id, value }),
    error => answer({ id, error: String(error?.message ?? error) }),
  )
})
process.once('disconnect', () => process.exit(0))

async function obey(command: Command): Promise<unknown> {
  switch (command.do) {
    case 'start':
      options = command.options
      await listen()
      setInterval(abandon, Math.min(250, (options.clientTimeoutMs ?? 300_000) / 4))
      return port
    case 'sql':
      return sql(command.text)
    case 'fault':
      return faults.add(command.fault)
    case 'release':
      return faults.release()
    case 'clear':
      return faults.clear()
    case 'history':
      return history
    case 'queries':
      return [...queries.values()].map(({ record }) => record)
    case 'restart':
      for (const query of queries.values()) query.fail(new TrinoFailure(codes.internal, 'the server has ended'))
      queries.clear()
      segments.clear()
      return cut()
    case 'refuse':
      return refuse()
    case 'accept':
      return listen()
    case 'asked':
      return asked(command.match, command.count)
  }
}

async function sql(text: string): Promise<unknown[][]> {
  const connection = await instance.connect()
  try {
    return (await connection.runAndReadAll(text)).getRowsJson()
  } finally {
    connection.closeSync()
  }
}

function asked(match: Match, count: number): Promise<HistoryEntry> {
  return new Promise(resolve => {
    const look = () => {
      const found = history.filter(entry => matches(match, entry))[count - 1]
      if (!found) return
      waiting.delete(look)
      resolve(found)
    }
    waiting.add(look)
    look()
  })
}

function listen(): Promise<void> {
  const { key, cert } = options
  const listener: RequestListener = (request, response) => void serve(request, response)
  const made = key && cert ? createSecureServer({ key, cert }, listener) : createServer(listener)
  made.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server = made
  return new Promise((resolve, reject) => {
    made.once('error', reject)
    made.listen(port, '127.0.0.1', () => {
      port = (made.address() as AddressInfo).port
      resolve()
    })
  })
}

function cut(): void {
  for (const socket of sockets) socket.destroy()
}

function refuse(): Promise<void> {
  return new Promise(resolve => {
    server?.close(() => resolve())
    cut()
  })
}

/** What nobody asks for ends; what was never begun is forgotten. */
function abandon(): void {
  const { clientTimeoutMs = 300_000 } = options
  for (const query of queries.values()) {
    if (query.isDone || Date.now() - query.touchedAt < clientTimeoutMs) continue
    if (query.hasBegun) query.fail(new TrinoFailure(codes.abandoned, `Query ${query.id} was abandoned by the client`))
    else queries.delete(query.id)
  }
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.on('error', () => {})
  const body = await bodyOf(request).catch(() => null)
  if (body === null) return
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://server')
  const [kind, found] = kindOf(request.method ?? '', pathname)
  const queryId = found?.[2] || null
  const entry: Entry = {
    ...{ n: history.length + 1, method: request.method ?? '', path: pathname, kind, queryId, status: null },
    ...{ token: found?.[4] === undefined ? null : Number(found[4]), headers: flat(request) },
    sql: kind === 'post' ? body : ((queryId && queries.get(queryId)?.sql) ?? null),
  }
  history.push(entry)
  for (const look of [...waiting]) look()
  const fault = faults.take(entry)
  if (fault?.what === 'hold') await faults.held()
  if (fault?.what === 'cut') return void request.socket.destroy()
  const answer =
    fault?.what === 'status'
      ? {
          ...refused(fault.status, 'refused by the test'),
          headers: fault.retryAfter === undefined ? {} : { 'Retry-After': `${fault.retryAfter}` },
        }
      : await handle(kind, found, entry, body, searchParams).catch(error => refused(500, String(error?.stack ?? error)))
  if (fault?.what === 'lost') return void request.socket.destroy()
  if (fault?.what === 'slow') await new Promise(resolve => setTimeout(resolve, fault.ms))
  if (fault?.what === 'hold-answer') await faults.held()
  entry.status = answer.status
  const bytes = Buffer.from(answer.body, 'isBytes' in answer ? 'latin1' : 'utf8')
  response.writeHead(answer.status, {
    'Content-Type': answer.status === 200 ? 'application/json' : 'text/plain',
    ...answer.headers,
    'Content-Length': bytes.length,
  })
  if (fault?.what !== 'half') return void response.end(bytes)
  response.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => request.socket.destroy())
}

function kindOf(method: string, path: string): readonly [RequestKind | null, RegExpExecArray | null] {
  for (const [kind, wanted, pattern] of kinds) {
    const found = method === wanted ? pattern.exec(path) : null
    if (found) return [kind, found]
  }
  return [null, null]
}

async function handle(
  kind: RequestKind | null,
  found: RegExpExecArray | null,
  entry: HistoryEntry,
  body: string,
  search: URLSearchParams,
): Promise<Answer & { isBytes?: true }> {
  const [, phase = '', queryId = '', key = ''] = found ?? []
  switch (kind) {
    case 'post':
      return submit(entry, body)
    case 'queued':
    case 'executing':
    case 'cancel': {
      const token = entry.token ?? 0
      const query = queries.get(queryId)
      // Addresses carry their own right: nobody has to sign in for them.
      if (!query?.isSlug(phase, key, token)) return refused(404, 'Query not found')
      if (kind === 'cancel') {
        query.cancel()
        return refused(204)
      }
      return kind === 'queued' ? query.queued(token, waitMs(search)) : query.executing(token, waitMs(search))
    }
    case 'query': {
      if (userOf(entry) === null) return unauthorized()
      const query = queries.get(queryId)
      // There is a record from the first GET on.
      return query?.hasBegun ? { status: 200, headers: {}, body: JSON.stringify(query.info) } : refused(410)
    }
    case 'segment': {
      const segment = segments.get(key)
      if (!segment || entry.headers['x-segment-key'] !== key) return refused(404)
      return {
        status: 200,
        headers: { 'Content-Type': 'application/octet-stream' },
        body: segment.data.toString('latin1'),
        isBytes: true,
      }
    }
    case 'ack':
      return segments.delete(key) ? refused(200) : refused(404)
    case 'info':
      return json({
        nodeVersion: { version: '435' },
        environment: 'test',
        coordinator: true,
        starting: false,
        uptime: '1.00m',
      })
    case 'node':
      return userOf(entry) === null ? unauthorized() : json([])
    default:
      return refused(404)
  }
}

function submit(entry: HistoryEntry, sql: string): Answer {
  const { headers } = entry
  const user = userOf(entry)
  if (user === null) return unauthorized()
  if (sql === '') return refused(400, 'SQL statement is empty')
  const { 'x-trino-catalog': catalog = null, 'x-trino-schema': schema = null } = headers
  if (schema !== null && catalog === null) return refused(400, 'Schema is set but catalog is not')
  const offered = headers['x-trino-query-data-encoding']?.split(',').map(text => text.trim()) ?? []
  const encoding = options.spooling ? (offered.find(name => name === 'json+zstd' || name === 'json') ?? null) : null
  const now = new Date().toISOString().replace(/\D/g, '')
  const query = new Query({
    ...options,
    ...{
      id: `${now.slice(0, 8)}_${now.slice(8, 14)}_${String(++ids).padStart(5, '0')}_tests`,
      sql,
      user,
      encoding,
      instance,
      segments,
    },
    session: {
      ...{
        catalog,
        schema,
        prepared: pairs(headers['x-trino-prepared-statement']),
        properties: pairs(headers['x-trino-session']),
      },
      fullTimes: /\bPARAMETRIC_DATETIME\b/.test(headers['x-trino-client-capabilities'] ?? ''),
    },
    base: () => `${options.key ? 'https' : 'http'}://127.0.0.1:${port}`,
  })
  queries.set(query.id, query)
  return query.posted()
}

/** null: to be refused. */
function userOf({ headers }: HistoryEntry): string | null {
  const { passwords, tokens } = options
  const given = headers['x-trino-user'] ?? null
  if (!passwords && !tokens) return given
  const [scheme = '', secret = ''] = (headers.authorization ?? '').split(' ')
  if (/^bearer$/i.test(scheme)) return tokens?.[secret] === undefined ? null : (given ?? tokens[secret])
  const [name = '', ...password] = Buffer.from(secret, 'base64').toString().split(':')
  return /^basic$/i.test(scheme) && passwords?.[name] === password.join(':') ? (given ?? name) : null
}

function unauthorized(): Answer {
  return { status: 401, headers: { 'WWW-Authenticate': 'Basic realm="Trino"' }, body: 'Unauthorized' }
}

function json(value: unknown): Answer {
  return { status: 200, headers: {}, body: JSON.stringify(value) }
}

/** `name=value,name=value`, each of them encoded as in a form. */
function pairs(header: string | undefined): Map<string, string> {
  const decoded = (text: string) => decodeURIComponent(text.trim().replaceAll('+', ' '))
  const items = (header ?? '').split(',').filter(item => item.includes('='))
  return new Map(
    items.map(item => [decoded(item.slice(0, item.indexOf('='))), decoded(item.slice(item.indexOf('=') + 1))]),
  )
}

function waitMs(search: URLSearchParams): number {
  const { waitMs: most = 1_000 } = options
  const asked = /^([\d.]+)(ms|s)$/.exec(search.get('maxWait') ?? '')
  return asked ? Math.min(most, Number(asked[1]) * (asked[2] === 's' ? 1_000 : 1)) : most
}

function flat({ headers }: IncomingMessage): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value ?? ''].flat().join(',')]))
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}
