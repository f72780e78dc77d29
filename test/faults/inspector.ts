/** Blocks the event loop of a node from outside: a signal starts its inspector, which is asked to evaluate a busy loop. */
import { WebSocket } from 'ws'
import { eventually } from '../support/conditions.ts'
import type { NodeProcess } from '../support/nodes.ts'

/** `inspector`: where it listens once the signal came, `host:port`. Resolves when the loop was asked to block. */
export async function blockLoop(node: NodeProcess, inspector: string, blockedMs: number): Promise<void> {
  node.signal('SIGUSR1')
  const [target] = await eventually(
    async () => (await (await fetch(`http://${inspector}/json/list`)).json()) as { webSocketDebuggerUrl: string }[],
    targets => targets.length > 0,
    { what: `the inspector of ${node.name}`, withinMs: 10_000 },
  )
  const socket = new WebSocket((target as { webSocketDebuggerUrl: string }).webSocketDebuggerUrl)
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
  })
  const expression = `{ const end = performance.now() + ${Math.round(blockedMs)}; while (performance.now() < end); }`
  socket.on('error', () => {})
  // It answers when the loop turns again; nothing holds the connection then.
  socket.on('message', () => socket.close())
  await new Promise<void>((resolve, reject) =>
    socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } }), error =>
      error ? reject(error) : resolve(),
    ),
  )
}
