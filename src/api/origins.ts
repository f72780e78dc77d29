/**
 * Browsers of other origins are refused unless `cors.origins` names them: for requests, preflights and WebSockets alike.
 * A page of this server is no other origin. While the server listens on loopback only, that is believed for loopback names
 * and IP addresses alone: any other name may have been pointed here by a stranger's DNS to make their page "ours".
 * Pages of the other members are the cluster's own, also those of members that have lately left.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { LensError } from '../domain/index.ts'
import type { ApiConfig } from './context.ts'
import type { MemberOrigins } from './member-origins.ts'

const preflightHeaders = {
  'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
  'access-control-allow-headers': 'authorization, content-type, idempotency-key, x-request-id',
  'access-control-max-age': '600',
}
const exposedHeaders = 'retry-after, x-request-id, lens-columns, lens-row-count'

export class Origins {
  readonly #named: ReadonlySet<string>
  readonly #advertised: string
  readonly #loopbackOnly: boolean
  readonly #members: Pick<MemberOrigins, 'has'> | null

  constructor(
    config: Pick<ApiConfig, 'cors'> & { readonly node: Pick<ApiConfig['node'], 'host' | 'advertiseUrl'> },
    members: Pick<MemberOrigins, 'has'> | null = null,
  ) {
    this.#members = members
    this.#named = new Set(config.cors.origins.map(origin => origin.replace(/\/$/, '').toLowerCase()))
    this.#advertised = new URL(config.node.advertiseUrl).host
    this.#loopbackOnly = isLoopback(config.node.host)
  }

  /** `named`: send CORS headers; `same`: none are needed. */
  judge(origin: string, host: string | undefined): 'named' | 'same' | 'refused' {
    const lower = origin.toLowerCase()
    if (this.#named.has(lower) || this.#named.has('*')) return 'named'
    if (!URL.canParse(lower)) return 'refused'
    const { host: originHost, hostname } = new URL(lower)
    if (originHost !== '' && originHost !== host?.toLowerCase() && this.#members?.has(lower)) return 'named'
    if (originHost === '' || (originHost !== host?.toLowerCase() && originHost !== this.#advertised)) return 'refused'
    if (originHost === this.#advertised || !this.#loopbackOnly) return 'same'
    return isLoopback(hostname) || isAddress(hostname) ? 'same' : 'refused'
  }

  /** The `onRequest` hook: refuses with FORBIDDEN, answers preflights, allows the rest to be read. */
  readonly guard = (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void => {
    const { origin, host } = request.headers
    const judged = origin === undefined ? 'same' : this.judge(origin, host)
    if (judged === 'named') reply.header('access-control-allow-origin', origin).header('vary', 'origin')
    const isPreflight = request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined
    if (judged === 'refused') done(refusedOrigin())
    else if (judged === 'named' && isPreflight) reply.headers(preflightHeaders).code(204).send()
    else {
      if (judged === 'named') reply.header('access-control-expose-headers', exposedHeaders)
      done()
    }
  }
}

export function refusedOrigin(): LensError {
  return new LensError('FORBIDDEN', 'header origin: this origin is not named by cors.origins')
}

function isLoopback(name: string): boolean {
  return name === 'localhost' || name === '[::1]' || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name)
}

function isAddress(name: string): boolean {
  return name.startsWith('[') || /^\d{1,3}(\.\d{1,3}){3}$/.test(name)
}
