/**
 * Who calls. Opening a session authenticates the user by the configured method; everything else carries the session's
 * token, which the gateway validates against the database, batched with the look-ups of other requests.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SignedIn } from '../auth/index.ts'
import { formatTraceParent, LensError, parseTraceParent } from '../domain/index.ts'
import type { Origin } from '../gateway/index.ts'
import type { ApiContext } from './context.ts'
import { asLensError } from './problem.ts'

const isUuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i
/** Beyond any token ever made. */
const tokenCharactersMax = 512

/** The token of a `Bearer` header. Throws UNAUTHENTICATED when there is none. */
export function bearerToken(authorization: string | undefined): string {
  if (authorization === undefined)
    throw new LensError('UNAUTHENTICATED', 'header authorization: expected Bearer and the token of a session')
  const token = /^bearer +(\S+) *$/i.exec(authorization)?.[1]
  if (token === undefined || token.length > tokenCharactersMax)
    throw new LensError('UNAUTHENTICATED', 'header authorization: expected Bearer and the token of a session')
  return token
}

/** For routes that hand the token on: refuses what carries none before a body is read. */
export function requireToken(request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void {
  bearerToken(request.headers.authorization)
  done()
}

/** For all other routes: sets `request.principal`. Before the body is read, so that strangers cannot make us read it. */
export function requireSession({ gateway }: ApiContext) {
  return async (request: FastifyRequest): Promise<void> => {
    request.principal = await gateway.authenticate(bearerToken(request.headers.authorization), originOf(request))
  }
}

/** Where a request comes from. */
export function originOf(request: FastifyRequest): Origin {
  const traceparent = request.span?.traceparent ?? sentTraceParent(request)
  return { address: request.ip, requestId: request.id, ...(traceparent === undefined ? {} : { traceparent }) }
}

/** What the client sent, if it is one; it is passed on also where nobody traces here. */
function sentTraceParent({ headers: { traceparent } }: FastifyRequest): string | undefined {
  const parent = typeof traceparent === 'string' ? parseTraceParent(traceparent) : null
  return parent ? formatTraceParent(parent) : undefined
}

/** What a line of the log says of a request. Never its address as it was sent: that of a Lens client carries its token. */
export function aboutRequest({ id, method, routeOptions, principal, params, span }: FastifyRequest) {
  const { handle = '' } = (params ?? {}) as { readonly handle?: string }
  const named = isUuid.test(handle) ? { handle } : {}
  const traceId = parseTraceParent(span?.traceparent ?? principal?.origin?.traceparent)?.traceId
  const traced = traceId === undefined ? {} : { traceId }
  return { requestId: id, method, route: routeOptions.url, session: principal?.sessionId, ...traced, ...named }
}

/** The user that opens a session, by the configured method; who is refused is made known. */
export async function signedIn(
  { authenticator, onRefused }: ApiContext,
  request: FastifyRequest,
  named: { readonly user: string | undefined; readonly password?: string | undefined },
): Promise<SignedIn & { readonly origin: Origin }> {
  const origin = originOf(request)
  const { authorization } = request.headers
  try {
    return { ...(await authenticator.signIn({ ...named, authorization, address: origin.address })), origin }
  } catch (error) {
    onRefused({ user: named.user ?? claimedUser(authorization), code: asLensError(error).code, origin })
    throw error
  }
}

/** Of basic authentication; a token's is not believed, and not said. */
function claimedUser(authorization: string | undefined): string | undefined {
  const encoded = /^basic +(\S+)/i.exec(authorization ?? '')?.[1]
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString('utf8').split(':', 1)[0]
}
