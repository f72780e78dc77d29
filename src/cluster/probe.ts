/**
 * Asks an address which incarnation serves it. Only two answers prove anything: another incarnation, and a refused
 * connection; silence, resets, nonsense and certificates that are not believed prove nothing.
 */
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { Clock } from '../async/index.ts'
import type { TowardsPeers } from './certificates.ts'

/** Served without authentication: who is there is no secret among those who can reach the port. */
export const identityPath = '/cluster/v1/identity'

/** The body of `GET identityPath`. */
export interface NodeIdentity {
  readonly node: string
  readonly incarnation: string
}

export type ProbeAnswer =
  | { readonly kind: 'identity'; readonly identity: NodeIdentity }
  | { readonly kind: 'refused' }
  | { readonly kind: 'silent'; readonly why: string }

/** Never rejects. */
export type Probe = (address: string) => Promise<ProbeAnswer>

const bodyBytesMax = 4096

export function httpProbe(clock: Clock, probeMs: number, credentials: TowardsPeers = () => ({})): Probe {
  return address =>
    new Promise(resolve => {
      let url: URL
      try {
        url = new URL(identityPath, address)
      } catch {
        return resolve({ kind: 'silent', why: `not an address: ${address}` })
      }
      const send = url.protocol === 'https:' ? requestHttps : requestHttp
      // A connection of its own: one kept alive could lead to a process that is already gone.
      const headers = { connection: 'close', accept: 'application/json' }
      const request = send(url, { agent: false, headers, ...credentials() })
      const cancel = clock.after(probeMs, () => answer({ kind: 'silent', why: `no answer within ${probeMs} ms` }))
      const answer = (answered: ProbeAnswer) => {
        cancel()
        request.destroy()
        resolve(answered)
      }
      request.on('error', (error: NodeJS.ErrnoException) =>
        answer(isRefusal(error) ? { kind: 'refused' } : { kind: 'silent', why: error.message }),
      )
      request.on('response', response =>
        readIdentity(response).then(
          identity => answer({ kind: 'identity', identity }),
          (error: Error) => answer({ kind: 'silent', why: error.message }),
        ),
      )
      request.end()
    })
}

/** A name with several addresses is refused only when all of them refuse. */
export function isRefusal(error: NodeJS.ErrnoException | AggregateError): boolean {
  if (error instanceof AggregateError) return error.errors.every(isRefusal)
  return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED'
}

async function readIdentity(response: IncomingMessage): Promise<NodeIdentity> {
  if (response.statusCode !== 200) throw new Error(`answered with status ${response.statusCode}`)
  let text = ''
  response.setEncoding('utf8')
  for await (const chunk of response) {
    text += chunk
    if (text.length > bodyBytesMax) throw new Error('answered with too long a body')
  }
  const body = JSON.parse(text) as Partial<NodeIdentity> | null
  if (typeof body?.node !== 'string' || typeof body.incarnation !== 'string')
    throw new Error('answered with something else')
  return { node: body.node, incarnation: body.incarnation }
}
