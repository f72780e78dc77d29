/**
 * TLS towards MySQL and MariaDB, in the words of `mysql2`: the same for the store's pool, for the heartbeat's thread, and for
 * engines of that kind.
 */
import { connect, isIP, type Socket } from 'node:net'
import type { Credentials } from './credentials.ts'

/** `encrypted` takes any certificate, `verified` only one for the host that was asked for, of a known authority. */
export type TlsMode = 'off' | 'encrypted' | 'verified'

/** Options of one connection, or of a pool, to be laid over the others. */
export interface DatabaseTls {
  readonly ssl?: Credentials & { readonly rejectUnauthorized: boolean; readonly verifyIdentity: boolean }
  readonly stream?: () => Socket
}

/** `host` as it is dialed: a name or an address, without brackets. */
export function databaseTls(mode: TlsMode, host: string, port: number, credentials: Credentials = {}): DatabaseTls {
  if (mode === 'off') return {}
  const verified = mode === 'verified'
  // A new object for each set: `mysql2` resumes sessions and shares contexts per object, and neither may outlive a change.
  const ssl = { ...credentials, rejectUnauthorized: verified, verifyIdentity: verified }
  return verified && isIP(host) ? { ssl, stream: () => socketTo(host, port) } : { ssl }
}

/** Host and port of a database's URL. */
export function databasePlace(url: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(url)
  return { host: decodeURIComponent(hostname).replace(/^\[(.*)\]$/, '$1'), port: port === '' ? 3306 : Number(port) }
}

/** Node asks for the name in a certificate by what it finds here; by itself it notes no address, and would ask for `localhost`. */
function socketTo(address: string, port: number): Socket {
  const socket = connect({ host: address, port, noDelay: true, keepAlive: true })
  return Object.assign(socket, { _host: address })
}
