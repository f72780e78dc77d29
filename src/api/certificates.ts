/**
 * Who must show a certificate, when the port speaks TLS. It is asked for in the handshake and judged with the request, not in
 * the handshake: one without is told so in words, and what asks whether this node lives (an orchestrator, a proxy) needs none.
 */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { LensError } from '../domain/index.ts'
import type { ListenerTls } from '../tls/index.ts'

const openPaths = new Set(['/healthz', '/readyz'])

type Door = 'clients' | 'peers'

/** What was found out about a connection: it shows what it shows in its handshake. */
const known = new WeakMap<Socket, Map<Door, string | null>>()

/** Why this request is not answered here; null when nothing is against it. `url` as it stands in the request. */
export function certificateRefusal(tls: ListenerTls, url: string, socket: Socket): LensError | null {
  const path = url.split('?', 1)[0] as string
  const door = path.startsWith('/cluster/') ? 'peers' : 'clients'
  if (tls[door] !== 'required' || openPaths.has(path)) return null
  const faults = known.get(socket) ?? new Map<Door, string | null>()
  known.set(socket, faults)
  let fault = faults.get(door)
  if (fault === undefined) {
    fault = certificateFault(socket, tls.authorities()[door])
    faults.set(door, fault)
  }
  return fault === null
    ? null
    : new LensError('UNAUTHENTICATED', `This node asks for a client certificate, and ${fault}.`)
}

function certificateFault(socket: Socket, authorities: ReadonlySet<string> | null): string | null {
  const tls = socket instanceof TLSSocket ? socket : null
  const certificate = tls?.getPeerCertificate(true)
  if (!tls || !certificate || Object.keys(certificate).length === 0) return 'none was shown'
  if (!tls.authorized) return 'the one that was shown is not of its authorities, or not valid now'
  if (authorities === null) return null
  // Clients and peers may have different authorities, and the handshake takes those of either.
  for (let one = certificate; ; one = one.issuerCertificate) {
    if (authorities.has(one.fingerprint256)) return null
    if (!one.issuerCertificate || one.issuerCertificate === one)
      return 'the one that was shown is not of its authorities'
  }
}
