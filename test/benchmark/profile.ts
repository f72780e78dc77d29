/**
 * Where the processor's time goes: V8's CPU profiles of running nodes, opened by signal through the inspector, and of this
 * process, for measures that run the code here. Written for a profile viewer, and summed up as text.
 */
import { writeFile } from 'node:fs/promises'
import inspector from 'node:inspector/promises'
import { fileURLToPath } from 'node:url'
import { WebSocket } from 'ws'
import { eventually, type NodeProcess } from '../support/nodes.ts'

/** What a node must be started with, so that several on one machine can be opened at once. */
export const profilable = { NODE_OPTIONS: '--inspect-port=127.0.0.1:0 --disable-warning=ExperimentalWarning' }

const samplingUs = 500
const root = fileURLToPath(new URL('../../', import.meta.url))

export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples?: readonly number[]
  readonly timeDeltas?: readonly number[]
  readonly startTime: number
  readonly endTime: number
}

/** Profiles of all that still live when `work` is done, by name. What a killed node had measured is lost with it. */
export async function profileNodes(
  nodes: readonly NodeProcess[],
  work: () => Promise<void>,
): Promise<Map<string, CpuProfile>> {
  const open = await Promise.all(nodes.map(async node => ({ name: node.name, inspected: await Inspected.open(node) })))
  const profiles = new Map<string, CpuProfile>()
  try {
    await Promise.all(open.map(({ inspected }) => inspected.start()))
    await work()
    for (const { name, inspected } of open) {
      const profile = await inspected.stop()
      if (profile) profiles.set(name, profile)
    }
  } finally {
    for (const { inspected } of open) inspected.close()
  }
  return profiles
}

/** The profile of this process while it does this. */
export async function profileHere<T>(work: () => Promise<T>): Promise<{ result: T; profile: CpuProfile }> {
  const session = new inspector.Session()
  session.connect()
  try {
    await session.post('Profiler.enable')
    await session.post('Profiler.setSamplingInterval', { interval: samplingUs })
    await session.post('Profiler.start')
    const result = await work()
    const { profile } = await session.post('Profiler.stop')
    return { result, profile: profile as CpuProfile }
  } finally {
    session.disconnect()
  }
}

export function writeProfile(file: string, profile: CpuProfile): Promise<void> {
  return writeFile(file, JSON.stringify(profile))
}

/** The busiest packages and functions by self time, in milliseconds and as a share of the busy time. */
export function summaryOf(name: string, profile: CpuProfile, top = 12): string {
  const byPackage = new Map<string, number>()
  const byFunction = new Map<string, number>()
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]))
  let idleUs = 0
  let busyUs = 0
  for (const [index, id] of (profile.samples ?? []).entries()) {
    // A delta may be negative, where the clock of another core was read.
    const us = Math.max(0, profile.timeDeltas?.[index] ?? 0)
    const frame = frames.get(id)
    if (!frame || frame.functionName === '(idle)' || frame.url === 'node:inspector') {
      idleUs += us
      continue
    }
    busyUs += us
    const place = packageOf(frame)
    add(byPackage, place, us)
    add(byFunction, `${frame.functionName || '(anonymous)'} ${whereOf(frame)}`, us)
  }
  const total = busyUs + idleUs
  const share = (us: number) => `${((100 * us) / busyUs).toFixed(1).padStart(5)} %`
  const lines = (times: ReadonlyMap<string, number>) =>
    [...times]
      .sort(([, a], [, b]) => b - a)
      .slice(0, top)
      .map(([what, us]) => `  ${share(us)} ${(us / 1_000).toFixed(0).padStart(7)} ms  ${what}`)
  return [
    `${name}: busy ${(busyUs / 1_000).toFixed(0)} ms of ${(total / 1_000).toFixed(0)} ms (${((100 * busyUs) / total).toFixed(0)} %)`,
    ' by package',
    ...lines(byPackage),
    ' by function',
    ...lines(byFunction),
  ].join('\n')
}

type Frame = CpuProfile['nodes'][number]['callFrame']

/** What the system does for a write to a socket has no place of its own in the profile. */
const socketWrites = /^write(?:v|Buffer|Utf8String|Latin1String|AsciiString)$/

/** `mysql2`, `@mikro-orm/core`, `src/store`, `node:net`, or what V8 calls its own work. */
export function packageOf({ functionName, url }: Frame): string {
  if (url === '' && socketWrites.test(functionName)) return 'writes to sockets'
  if (url === '') return functionName.startsWith('(') ? functionName : 'V8 and built-ins'
  if (url.startsWith('node:')) return url.split('/').slice(0, 2).join('/')
  const path = pathOf(url)
  const inPackage = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)
  if (inPackage) return inPackage[1] as string
  return path.split('/').slice(0, 2).join('/')
}

function whereOf(frame: Frame): string {
  if (frame.url === '') return ''
  const path = frame.url.startsWith('node:') ? frame.url : pathOf(frame.url).replace(/.*node_modules\//, '')
  return `${path}:${frame.lineNumber + 1}`
}

function pathOf(url: string): string {
  const path = url.startsWith('file:') ? fileURLToPath(url) : url
  return path.startsWith(root) ? path.slice(root.length) : path
}

function add(times: Map<string, number>, key: string, us: number): void {
  times.set(key, (times.get(key) ?? 0) + us)
}

/** A node whose inspector was opened by signal: it listens from then on, and costs nothing before. */
class Inspected {
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>()
  #next = 1

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', data => {
      const { id, result, error } = JSON.parse(String(data))
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (error) waiting?.reject(new Error(error.message))
      else waiting?.resolve(result)
    })
    socket.on('error', () => socket.close())
    socket.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the node has ended'))
      this.#waiting.clear()
    })
  }

  static async open(node: NodeProcess): Promise<Inspected> {
    node.signal('SIGUSR1')
    const url = await eventually(`${node.name} opens its inspector`, () => {
      const said = node.log.map(({ msg }) => /^Debugger listening on (ws:\S+)/.exec(msg ?? '')?.[1])
      return said.find(Boolean) ?? null
    })
    const socket = new WebSocket(url, { maxPayload: 0 })
    await new Promise((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('error', reject)
    })
    return new Inspected(socket)
  }

  async start(): Promise<void> {
    await this.#post('Profiler.enable')
    await this.#post('Profiler.setSamplingInterval', { interval: samplingUs })
    await this.#post('Profiler.start')
  }

  /** Null when the node has ended meanwhile. */
  async stop(): Promise<CpuProfile | null> {
    try {
      const { profile } = (await this.#post('Profiler.stop')) as { profile: CpuProfile }
      return profile
    } catch {
      return null
    }
  }

  close(): void {
    this.#socket.close()
  }

  #post(method: string, params: object = {}): Promise<unknown> {
    if (this.#socket.readyState !== WebSocket.OPEN) return Promise.reject(new Error('the node has ended'))
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#socket.send(JSON.stringify({ id, method, params }))
    })
  }
}
