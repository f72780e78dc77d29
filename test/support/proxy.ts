/**
 * A TCP proxy between a store and its database, for what only the wire can show: the answer to a COMMIT that never
 * arrives, a connection that is cut, one that hangs in one direction or both, one that is slow.
 */

import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Teardown } from './folders.ts'
import { AnswerReader } from './mysql-answers.ts'

/** What comes from the client, or what comes from the server. */
export type Direction = 'requests' | 'answers'

const both: readonly Direction[] = ['requests', 'answers']

export interface Proxy {
  readonly port: number
  /**
   * The next request that holds `text` is passed on; when all of its answer has arrived, that is thrown away and the connection cut. Resolves
   * once that has happened.
   */
  loseAnswerTo(text: string): Promise<void>
  /** The next request that holds `text` is thrown away and its connection cut. Resolves once that has happened. */
  loseRequest(text: string): Promise<void>
  /** Nothing is lost any more; what waited for it waits for ever. */
  loseNothing(): void
  /** Cuts all connections; new ones are accepted. */
  cut(): void
  /** Nothing is passed on any more, in these directions (both, unless told), until `resume`. */
  pause(...directions: Direction[]): void
  resume(): void
  /** What arrives from now on is passed on this much later, in milliseconds, each way; 0: at once. */
  delay(ms: number): void
  readonly connections: number
}

export interface ProxyOptions {
  /** Where it listens; 127.0.0.1 unless given. */
  readonly host?: string
}

interface Pair {
  readonly client: Socket
  readonly server: Socket
  lose: { readonly done: () => void; readonly reader: AnswerReader } | null
}

interface Losing {
  readonly what: Direction
  readonly text: string
  readonly done: () => void
}

/** Forwards to 127.0.0.1:`targetPort`. */
export async function startProxy(t: Teardown, targetPort: number, options: ProxyOptions = {}): Promise<Proxy> {
  const pairs = new Set<Pair>()
  let losing: Losing | null = null
  const paused = new Set<Direction>()
  let delayMs = 0
  const end = (pair: Pair) => {
    pairs.delete(pair)
    pair.client.destroy()
    pair.server.destroy()
  }
  /** In order, also when the delay is taken away while something waits. */
  const passOn = (from: Socket, to: Socket) => {
    let last = Promise.resolve()
    let waiting = 0
    return (data: Buffer) => {
      if (delayMs === 0 && waiting === 0) {
        to.write(data)
        return
      }
      const at = performance.now() + delayMs
      waiting++
      last = last.then(async () => {
        const remainingMs = at - performance.now()
        if (remainingMs > 0) await new Promise(resolve => setTimeout(resolve, remainingMs))
        waiting--
        if (!from.destroyed && !to.destroyed) to.write(data)
      })
    }
  }
  const applyPause = ({ client, server: upstream }: Pair) => {
    for (const [direction, socket] of [
      ['requests', client],
      ['answers', upstream],
    ] as const)
      if (paused.has(direction)) socket.pause()
      else socket.resume()
  }
  const server: Server = createServer(client => {
    const upstream = connect(targetPort, '127.0.0.1')
    const pair: Pair = { client, server: upstream, lose: null }
    pairs.add(pair)
    const toServer = passOn(client, upstream)
    const toClient = passOn(upstream, client)
    client.on('data', (data: Buffer) => {
      if (losing && data.includes(losing.text)) {
        const { what, done } = losing
        losing = null
        if (what === 'requests') {
          end(pair)
          done()
          return
        }
        pair.lose = { done, reader: new AnswerReader() }
      }
      toServer(data)
    })
    upstream.on('data', (data: Buffer) => {
      if (!pair.lose) {
        toClient(data)
        return
      }
      const { done, reader } = pair.lose
      reader.read(data)
      if (!reader.complete) return
      end(pair)
      done()
    })
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true)
      socket.on('error', () => end(pair))
      socket.on('close', () => end(pair))
    }
    if (paused.size > 0) applyPause(pair)
  })
  server.listen(0, options.host ?? '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    for (const pair of pairs) end(pair)
    server.close()
    await once(server, 'close').catch(() => undefined)
  })
  const { port } = server.address() as { port: number }
  const lose = (what: Direction, text: string): Promise<void> =>
    new Promise(done => {
      losing = { what, text, done }
    })
  return {
    port,
    loseAnswerTo: text => lose('answers', text),
    loseRequest: text => lose('requests', text),
    loseNothing() {
      losing = null
    },
    cut() {
      for (const pair of [...pairs]) end(pair)
    },
    pause(...directions) {
      for (const direction of directions.length > 0 ? directions : both) paused.add(direction)
      for (const pair of pairs) applyPause(pair)
    },
    resume() {
      paused.clear()
      for (const pair of pairs) applyPause(pair)
    },
    delay(ms) {
      delayMs = ms
    },
    get connections() {
      return pairs.size
    },
  }
}
