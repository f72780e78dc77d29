/**
 * What a node holds: asked of the kernel, and, through the inspector that a signal starts, of the process itself after a collection
 * of garbage, so that what is left is what something refers to.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { WebSocket } from 'ws'
import { eventually } from '../support/conditions.ts'
import type { NodeProcess } from '../support/nodes.ts'

/** At one instant; sizes in MiB. */
export interface Holdings {
  readonly resident: number
  readonly heap: number
  /** Buffers and what else lies outside the heap. */
  readonly external: number
  readonly files: number
  readonly threads: number
  readonly timers: number
  /** Sockets and whatever else keeps the process alive. */
  readonly resources: number
}

export const holdingNames = ['resident', 'heap', 'external', 'files', 'threads', 'timers', 'resources'] as const

const MiB = 2 ** 20
const answerMs = 20_000

interface Inner {
  readonly memory: { readonly heapUsed: number; readonly external: number }
  readonly resources: readonly string[]
}

/** `inspector`: where it listens once the signal came, `host:port`. */
export async function holdingsOf(node: NodeProcess, inspector: string): Promise<Holdings> {
  const inner = await askProcess(node, inspector)
  const status = readFileSync(`/proc/${node.pid}/status`, 'utf8')
  const timers = inner.resources.filter(name => name === 'Timeout' || name === 'Immediate').length
  return {
    resident: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024,
    heap: inner.memory.heapUsed / MiB,
    external: inner.memory.external / MiB,
    files: readdirSync(`/proc/${node.pid}/fd`).length,
    threads: Number(/^Threads:\s+(\d+)/m.exec(status)?.[1]),
    timers,
    resources: inner.resources.length - timers,
  }
}

async function askProcess(node: NodeProcess, inspector: string): Promise<Inner> {
  node.signal('SIGUSR1')
  const [target] = await eventually(
    async () => (await (await fetch(`http://${inspector}/json/list`)).json()) as { webSocketDebuggerUrl: string }[],
    targets => targets.length > 0,
    { what: `the inspector of ${node.name}`, withinMs: answerMs },
  )
  const socket = new WebSocket((target as { webSocketDebuggerUrl: string }).webSocketDebuggerUrl)
  const cancel = AbortSignal.timeout(answerMs)
  cancel.addEventListener('abort', () => socket.terminate())
  try {
    await new Promise<void>((resolve, reject) => socket.once('open', resolve).once('error', reject))
    let id = 0
    const call = (method: string, params: object = {}): Promise<any> =>
      new Promise((resolve, reject) => {
        const mine = ++id
        const listen = (data: unknown) => {
          const message = JSON.parse(String(data))
          if (message.id !== mine) return
          socket.off('message', listen)
          resolve(message.result)
        }
        socket.on('message', listen)
        socket.once('close', () => reject(new Error(`${node.name} did not answer its inspector`)))
        socket.send(JSON.stringify({ id: mine, method, params }))
      })
    await call('HeapProfiler.collectGarbage')
    const expression = 'JSON.stringify({ memory: process.memoryUsage(), resources: process.getActiveResourcesInfo() })'
    const { result } = await call('Runtime.evaluate', { expression, returnByValue: true })
    return JSON.parse(result.value)
  } finally {
    socket.close()
  }
}
