/**
 * A TCP proxy between a store and its database, for what only the wire can show: the answer to a COMMIT that never
 * arrives, a connection that is cut, one that hangs.
 */

import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Teardown } from './folders.ts'

export interface Proxy {
  readonly port: number
  /**
   * The next request that holds `text` is passed on; when its answer arrives, that is thrown away and the connection cut. Resolves
   * once that has happened.
   */
  loseAnswerTo(text: string): Promise<void>
  /** Cuts all connections; new ones are accepted. */
  cut(): void
  /** Nothing is passed on any more, in either direction, until `resume`. */
  pause(): void
  resume(): void
  readonly connections: number
}

interface Pair {
  readonly client: Socket
  readonly server: Socket
  lose: (() => void) | null
}

/** Forwards to 127.0.0.1:`targetPort`. */
export async function startProxy(t: Teardown, targetPort: number): Promise<Proxy> {
  const pairs = new Set<Pair>()
  let lose: { text: string; done: () => void } | null = null
  let paused = false
  const end = (pair: Pair) => {
    pairs.delete(pair)
    pair.client.destroy()
    pair.server.destroy()
  }
  const server: Server = createServer(client => {
    const upstream = connect(targetPort, '127.0.0.1')
    const pair: Pair = { client, server: upstream, lose: null }
    pairs.add(pair)
    client.on('data', (data: Buffer) => {
      if (lose && data.includes(lose.text)) {
        pair.lose = lose.done
        lose = null
      }
      upstream.write(data)
    })
    upstream.on('data', (data: Buffer) => {
      if (!pair.lose) {
        client.write(data)
        return
      }
      const done = pair.lose
      end(pair)
      done()
    })
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true)
      if (paused) socket.pause()
      socket.on('error', () => end(pair))
      socket.on('close', () => end(pair))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    for (const pair of pairs) end(pair)
    server.close()
    await once(server, 'close').catch(() => undefined)
  })
  const { port } = server.address() as { port: number }
  return {
    port,
    loseAnswerTo: text =>
      new Promise(resolve => {
        lose = { text, done: resolve }
      }),
    cut() {
      for (const pair of [...pairs]) end(pair)
    },
    pause() {
      paused = true
      for (const { client, server: upstream } of pairs) {
        client.pause()
        upstream.pause()
      }
    },
    resume() {
      paused = false
      for (const { client, server: upstream } of pairs) {
        client.resume()
        upstream.resume()
      }
    },
    get connections() {
      return pairs.size
    },
  }
}
