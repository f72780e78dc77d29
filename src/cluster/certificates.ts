/** What TLS says between nodes. Whatever it says, it proves no death: a certificate that is wrong is silence. */
import type { Credentials } from '../tls/index.ts'

/** What this node shows to a peer, and which authorities it believes; asked for with every dial and probe. */
export type TowardsPeers = () => Credentials

/** For logs: whether a connection failed because of certificates, on either side. */
export function isCertificateFault(error: NodeJS.ErrnoException): boolean {
  return /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_(CA|PURPOSE)|HOSTNAME_MISMATCH)/.test(
    error.code ?? '',
  )
}
