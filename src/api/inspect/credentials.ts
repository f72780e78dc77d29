/**
 * Who attaches an inspector. The receivers that exist open a socket and send nothing on it, and the only thing that one can give
 * them is an address; `ws://any:TOKEN@…` reaches the server as Basic credentials, which no log of a proxy holds, unlike a query.
 * Browsers send those only when asked by a refusal, and Node's own WebSocket never does: they authenticate by their first frame.
 */
import { LensError } from '../../domain/index.ts'
import { bearerToken } from '../access.ts'

/** The session's token of a `Bearer` header, or the password of a `Basic` one, whose user is not looked at. Throws UNAUTHENTICATED. */
export function inspectorToken(authorization: string): string {
  const encoded = /^basic +(\S+) *$/i.exec(authorization)?.[1]
  if (encoded === undefined) return bearerToken(authorization)
  const credentials = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = credentials.indexOf(':')
  if (colon < 0)
    throw new LensError(
      'UNAUTHENTICATED',
      'header authorization: expected the token of a session, as Bearer or as the password of Basic',
    )
  return bearerToken(`Bearer ${credentials.slice(colon + 1)}`)
}
