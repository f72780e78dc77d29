/**
 * Who calls. Opening a session authenticates the user by the configured method; everything else carries the session's
 * token, which the gateway validates against the database, batched with the look-ups of other requests.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { LensError } from '../domain/index.ts'
import type { ApiContext } from './context.ts'

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
    request.principal = await gateway.authenticate(bearerToken(request.headers.authorization))
  }
}

/** The user that opens a session, by method `none`: whoever the client names. */
export function believedUser(named: string | undefined): string {
  return named ?? 'anonymous'
}
