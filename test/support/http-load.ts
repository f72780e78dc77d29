/**
 * Clients as simple as HTTP allows, to see what a departing node does to them: one keep-alive connection, no repetition.
 * They follow what the contract tells everyone, and nothing else: after an answer with `Connection: close` they ask for the
 * members and go where one is alive. Whatever fails is kept, with its reason:
 *
 *     a reset or an answer cut short · a connection refused by a node that is still listed alive · any 5xx
 */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { isDeepStrictEqual } from 'node:util'
import type { NodeProcess } from './nodes.ts'

export interface RawAnswer<Body = any> {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Body
}

export interface Call {
  readonly method?: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

interface Listed {
  readonly address: string
  readonly incarnation: string
  readonly state: string
}

/** A connection that failed before or in the middle of an answer. */
export class Broken extends Error {
  readonly code: string
  constructor(cause: NodeJS.ErrnoException) {
    super(cause.message)
    this.code = cause.code ?? 'broken'
  }
}

export class RawClient {
  readonly failures: string[] = []
  answered = 0
  readonly #nodes: readonly { readonly url: string }[]
  readonly #home: string
  readonly #token: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  #at: string
  #listed: readonly Listed[] = []
  #away = false

  /** `nodes` by their base URLs; it begins at `home`, and goes back there whenever that is listed alive. */
  constructor(nodes: readonly { readonly url: string }[], home: string, token: string) {
    this.#nodes = nodes
    this.#home = home
    this.#token = token
    this.#at = home
  }

  /** Where the next request goes. */
  get at(): string {
    return this.#at
  }

  /** One request to where it is now, sent once. Rejects with `Broken`. */
  send<Body = any>(target: string, call: Call = {}, url = this.#at): Promise<RawAnswer<Body>> {
    const { promise, resolve, reject } = Promise.withResolvers<RawAnswer<Body>>()
    const text = call.body === undefined ? undefined : JSON.stringify(call.body)
    const broken = (error: NodeJS.ErrnoException) => reject(new Broken(error))
    const request = httpRequest(
      `${url}${target}`,
      {
        method: call.method ?? 'GET',
        agent: this.#agent,
        headers: {
          authorization: `Bearer ${this.#token}`,
          ...(text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
          ...call.headers,
        },
      },
      response => {
        const chunks: Buffer[] = []
        response.on('data', chunk => chunks.push(chunk))
        response.on('error', broken)
        response.on('end', () => {
          const { statusCode = 0, headers } = response
          const raw = Buffer.concat(chunks).toString()
          const json = raw !== '' && /json/.test(headers['content-type'] ?? '')
          if (headers.connection === 'close') this.#away = true
          resolve({ status: statusCode, headers, body: json ? JSON.parse(raw) : raw })
        })
      },
    )
    request.on('error', broken)
    request.end(text)
    return promise
  }

  /** A request as a client makes it that follows the list of members. Null: it failed, and `failures` says how. */
  async ask<Body = any>(target: string, call: Call = {}, tolerated: (answer: RawAnswer) => boolean = () => false) {
    await this.#settle()
    for (;;) {
      const { at } = this
      const chosen = this.#listed.find(({ address }) => address === at)
      try {
        const answer = await this.send<Body>(target, call)
        this.answered++
        if (answer.status < 500 || tolerated(answer)) return answer
        this.failures.push(
          `${call.method ?? 'GET'} ${target} at ${at}: ${answer.status} ${JSON.stringify(answer.body)}`,
        )
        return null
      } catch (error) {
        const { code } = error as Broken
        // Nothing was sent: the node has closed its door. It must not be advertised any more.
        if (code === 'ECONNREFUSED' && !(await this.#stillAdvertised(at, chosen?.incarnation))) {
          this.#away = true
          await this.#settle(at)
          continue
        }
        this.failures.push(`${call.method ?? 'GET'} ${target} at ${at}: ${String(error)} (${code})`)
        return null
      }
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  /** Before a request: home if that is alive, else where it is, unless it was told to go. */
  async #settle(except?: string): Promise<void> {
    if (!this.#away && this.#at === this.#home && this.#listed.length > 0) return
    this.#listed = (await this.#list(except)) ?? this.#listed
    this.#away = false
    const alive = this.#listed.filter(({ state, address }) => state === 'alive' && address !== except)
    if (alive.some(({ address }) => address === this.#home)) this.#at = this.#home
    else if (!alive.some(({ address }) => address === this.#at)) this.#at = alive[0]?.address ?? this.#at
  }

  /** The members as the first node that answers has them. */
  async #list(except?: string): Promise<readonly Listed[] | null> {
    const urls = [this.#at, ...this.#nodes.map(({ url }) => url)].filter(url => url !== except)
    for (const url of urls)
      try {
        const { status, body } = await this.send('/api/v1/cluster', {}, url)
        if (status === 200) return body.nodes
      } catch {
        // One that is not there is no source.
      }
    return null
  }

  async #stillAdvertised(address: string, incarnation: string | undefined): Promise<boolean> {
    const listed = await this.#list(address)
    return (
      listed?.some(
        node =>
          node.address === address && node.state === 'alive' && (!incarnation || node.incarnation === incarnation),
      ) ?? false
    )
  }
}

export interface Statement {
  readonly sql: string
  readonly rows: readonly (readonly unknown[])[]
}

/** What one client does again and again: submit, poll to the end, list, read the rows and compare them. */
export async function workOnce(client: RawClient, { sql, rows }: Statement, submitted: (handle: string) => void) {
  const accepted = await client.ask('/api/v1/queries', { method: 'POST', body: { sql } })
  if (!accepted) return
  const fail = (what: string, seen: unknown) => client.failures.push(`${what}: ${JSON.stringify(seen)} (${sql})`)
  if (accepted.status !== 202) return fail('not accepted', accepted)
  let query = accepted.body
  submitted(query.handle)
  while (query.outcome === null) {
    const polled = await client.ask(`/api/v1/queries/${query.handle}?after=${query.version}&waitMs=2000`)
    if (!polled) return
    if (polled.status !== 200) return fail('not found', polled)
    if (polled.body.version < query.version) return fail('went back', [query, polled.body])
    query = polled.body
  }
  if (query.outcome !== 'SUCCESSFUL') return fail('ended', query)
  const list = await client.ask('/api/v1/queries?limit=5')
  if (list && list.status !== 200) fail('no list', list)
  const seen: unknown[][] = []
  for (let offset: number | null = 0; offset !== null; ) {
    const page: RawAnswer | null = await client.ask(
      `/api/v1/queries/${query.handle}/results?offset=${offset}&limit=300`,
    )
    if (!page) return
    if (page.status !== 200) return fail('no rows', page)
    seen.push(...page.body.rows)
    offset = page.body.nextOffset
  }
  if (!isDeepStrictEqual(seen, rows)) fail('other rows', seen.slice(0, 3))
}

/** Where a node listens, for clients that are made before it is started again. */
export function urlsOf(nodes: readonly NodeProcess[]): { url: string }[] {
  return nodes.map(({ url }) => ({ url }))
}
