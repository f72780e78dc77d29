/** One call of the protocol: its parameters wherever they came, its session, and the form of its answer. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Gateway, Principal } from '../../gateway/index.ts'
import { originOf } from '../access.ts'
import { chooseMediaType } from '../v1/media-types.ts'
import { type Document, type Form as WrittenAs, write } from './document.ts'
import type { Form } from './form.ts'
import { handleOf, tokenOf } from './reading.ts'
import { WireRefusal, wireCodes } from './refusals.ts'

/** What a failure is written as, where the client does not take JSON: Lens's methods have one return type each. */
export type FailureShape = 'lensAPIResult' | 'apiResult' | 'text'

declare module 'fastify' {
  interface FastifyContextConfig {
    readonly failureShape?: FailureShape
  }
}

export class Call {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly #gateway: Gateway

  constructor(request: FastifyRequest, reply: FastifyReply, gateway: Gateway) {
    this.request = request
    this.reply = reply
    this.#gateway = gateway
  }

  /** A parameter of the query string or a part of the body; undefined when it is absent. */
  text(name: string): string | undefined {
    const { query, body } = this.request
    const given = body instanceof Map ? (body as Form).get(name) : (query as Record<string, unknown>)[name]
    return Array.isArray(given) ? String(given[0]) : (given as string | undefined)
  }

  required(name: string): string {
    const given = this.text(name)
    if (given === undefined || given.trim() === '')
      throw new WireRefusal(wireCodes.parameterMissing, `${name}: required, but missing`)
    return given
  }

  /** A whole number from 0 on. */
  count(name: string): number | undefined {
    const given = this.text(name)?.trim()
    if (given === undefined || given === '') return undefined
    if (!/^\d{1,19}$/.test(given))
      throw new WireRefusal(wireCodes.parameterInvalid, `${name}: expected a whole number, got ${given}`)
    return Number(given)
  }

  /** The handle in the path. */
  get handle(): string {
    return handleOf((this.request.params as { handle: string }).handle)
  }

  get token(): string {
    return tokenOf(this.text('sessionid'))
  }

  /** Validated for this call, secret and all. */
  async principal(): Promise<Principal> {
    this.request.principal = await this.#gateway.authenticate(this.token, originOf(this.request))
    return this.request.principal
  }
}

/** XML unless the client likes JSON better: as much as anything else counts as better, where it names JSON and no XML. */
export function formOf(request: FastifyRequest): WrittenAs {
  const { accept = '' } = request.headers
  const offered = ['application/xml', 'application/json']
  const namesOnlyJson = /\bapplication\/json\b/i.test(accept) && !/\bapplication\/xml\b/i.test(accept)
  const chosen = chooseMediaType(accept, namesOnlyJson ? offered.reverse() : offered)
  return chosen === 'application/json' ? 'json' : 'xml'
}

export function mediaTypeOf(form: WrittenAs): string {
  return form === 'json' ? 'application/json' : 'application/xml'
}

export function send(request: FastifyRequest, reply: FastifyReply, answer: Document | string): FastifyReply {
  if (typeof answer === 'string') return reply.type('text/plain; charset=utf-8').send(answer)
  const form = formOf(request)
  return reply
    .type(mediaTypeOf(form))
    .header('vary', 'accept, origin')
    .serializer((text: unknown) => text as string)
    .send(write(answer, form))
}
