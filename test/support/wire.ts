/** Talking to a node below the level of a client library: bytes on a socket, frames on a WebSocket. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { WebSocket } from 'ws'
import { eventually } from './conditions.ts'

/** Sends bytes, and gives all that comes until the server closes. With `halfClose` says that nothing more will come. */
export async function exchange(port: number, bytes: string | Uint8Array, halfClose = false): Promise<string> {
  const socket = await open(port)
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  // A server that closes while we still send resets the connection; what it said before counts.
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  socket.write(bytes)
  if (halfClose) socket.end()
  await closed
  return Buffer.concat(chunks).toString()
}

export async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  await once(socket, 'connect')
  // With half-open sockets nobody answers the other side's end but us.
  socket.on('end', () => socket.end())
  return socket
}

export interface Frame {
  readonly type: string
  readonly id?: string
  readonly [field: string]: any
}

/** A WebSocket on `/api/v1/stream` that keeps every frame. */
export class StreamClient {
  readonly socket: WebSocket
  readonly frames: Frame[] = []
  /** Messages as they came: objects, or arrays of them. */
  readonly messages: string[] = []
  closed: { readonly code: number; readonly reason: string } | null = null

  constructor(url: string, options: { token?: string; headers?: Record<string, string> } = {}) {
    const { token, headers } = options
    this.socket = new WebSocket(`${url.replace(/^http/, 'ws')}/api/v1/stream`, {
      headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
    })
    this.socket.on('message', data => {
      this.messages.push(String(data))
      this.frames.push(...[JSON.parse(String(data))].flat())
    })
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason) }
    })
    this.socket.on('error', () => {})
  }

  async opened(): Promise<this> {
    if (this.socket.readyState === WebSocket.CONNECTING) await once(this.socket, 'open')
    return this
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame))
  }

  /** The first frame that satisfies. */
  frame(what: string, satisfies: (frame: Frame) => boolean): Promise<Frame> {
    return eventually(
      () => this.frames.find(satisfies),
      frame => frame !== undefined,
      { what: `a frame: ${what}; there were ${JSON.stringify(this.frames).slice(-1500)}` },
    ) as Promise<Frame>
  }

  async end(): Promise<{ readonly code: number; readonly reason: string }> {
    await eventually(() => this.closed, Boolean, { what: 'the close of the stream' })
    return this.closed as { code: number; reason: string }
  }

  terminate(): void {
    this.socket.terminate()
  }
}
