/**
 * Ports that stay ours. What listens by itself takes port 0; a server whose port must be known before it starts gets one below
 * the ephemeral range, where no outgoing connection of a parallel test can take it in between.
 */
import { createServer, type Server } from 'node:net'

const first = 20_000
const last = 32_000
const taken = new Set<number>()

/** A port on 127.0.0.1 that nobody listens on and that this process has not given out before. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + Math.floor(Math.random() * (last - first))
    if (taken.has(port)) continue
    taken.add(port)
    const probe = await listening(port)
    if (!probe) continue
    await new Promise(resolve => probe.close(resolve))
    return port
  }
}

function listening(port: number): Promise<Server | null> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(null))
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}
