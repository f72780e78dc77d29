/**
 * Stands at the address that a node advertises. It leads to the node, or it shows what else an address can do: refuse,
 * accept and stay silent, or answer as somebody else. It can also keep peers from speaking to the node at all.
 */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { busPath, identityPath } from '../../src/cluster/index.ts'
import type { Teardown } from './folders.ts'
import { freePort } from './ports.ts'

export type Conduct =
  /** Leads to the node. */
  | 'forward'
  /** Nobody listens. */
  | 'refuse'
  /** Accepts, and says nothing. */
  | 'silent'
  /** Answers as a node of another incarnation. */
  | 'impostor'

export const impostorIncarnation = '00000000-0000-4000-8000-00000000dead'

export class Front {
  readonly port: number
  readonly #target: number
  readonly #sockets = new Set<Socket>()
  #server: Server | null = null
  #conduct: Conduct = 'refuse'
  #busBlocked = false
  /** How often somebody asked who is there. */
  asked = 0

  private constructor(port: number, target: number) {
    this.port = port
    this.#target = target
  }

  /** In front of 127.0.0.1:`target`; gone with the test. */
  static async start(t: Teardown, target: number, conduct: Conduct = 'forward'): Promise<Front> {
    const front = new Front(await freePort(), target)
    await front.become(conduct)
    t.teardown(() => front.become('refuse'))
    return front
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** From now on; all connections that exist are cut. */
  async become(conduct: Conduct): Promise<void> {
    this.#conduct = conduct
    if (conduct === 'refuse' && this.#server) {
      const server = this.#server
      this.#server = null
      server.close()
    }
    for (const socket of this.#sockets) socket.destroy()
    if (conduct === 'refuse' || this.#server) return
    this.#server = createServer(socket => this.#accept(socket))
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** Peers cannot dial the node any more; whoever asks for its identity still gets it. */
  blockBus(): void {
    this.#busBlocked = true
    for (const socket of this.#sockets) socket.destroy()
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
    socket.once('data', (head: Buffer) => {
      if (head.includes(identityPath)) this.asked++
      if (this.#conduct === 'impostor') this.#impersonate(socket, head)
      else if (this.#conduct === 'forward') {
        if (this.#busBlocked && head.includes(busPath)) socket.destroy()
        else this.#forward(socket, head)
      }
    })
  }

  #forward(socket: Socket, head: Buffer): void {
    const node = connect(this.#target, '127.0.0.1')
    this.#sockets.add(node)
    node.on('error', () => {})
    node.on('close', () => {
      this.#sockets.delete(node)
      socket.destroy()
    })
    socket.on('close', () => node.destroy())
    node.write(head)
    socket.pipe(node)
    node.pipe(socket)
  }

  #impersonate(socket: Socket, head: Buffer): void {
    const body = JSON.stringify({ node: 'somebody-else', incarnation: impostorIncarnation })
    const known = head.includes(`GET ${identityPath} `)
    socket.end(
      `HTTP/1.1 ${known ? '200 OK' : '409 Conflict'}\r\ncontent-type: application/json\r\nconnection: close\r\n` +
        `content-length: ${known ? body.length : 0}\r\n\r\n${known ? body : ''}`,
    )
  }
}
