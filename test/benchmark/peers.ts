/**
 * What others do with one durable no-op: job queues that people would use instead, each with its server's durability on, each
 * with a producer and a worker in processes of their own, as the load generator and a node are. Between their rounds these
 * processes are stopped (SIGSTOP), so that their polling costs nobody else anything.
 */
import { type ChildProcess, execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { access, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { PostgresServer } from '../support/postgresql.ts'
import { RedisServer } from '../support/redis.ts'
import { endWithUs } from '../support/survivors.ts'

const folder = new URL('peers/', import.meta.url)
const execute = promisify(execFile)

interface Description {
  readonly name: string
  readonly package: string
  readonly server: 'postgres' | 'redis'
  /** What its settings say, for who reads the row. */
  readonly settings: string
}

const descriptions: readonly Description[] = [
  {
    ...{ name: 'pg-boss', package: 'pg-boss', server: 'postgres' },
    settings: '4 workers, batches of 100, polling while full',
  },
  {
    ...{ name: 'graphile-worker', package: 'graphile-worker', server: 'postgres' },
    settings: '24 at once, local queue of 500, batched completion',
  },
  {
    ...{ name: 'bullmq', package: 'bullmq', server: 'redis' },
    settings: '64 at once, completed ones removed',
  },
  {
    ...{ name: 'dbos', package: '@dbos-inc/dbos-sdk', server: 'postgres' },
    settings: '500 at once, polled every 100 ms',
  },
]

export interface Peer {
  readonly name: string
  readonly version: string
  readonly settings: string
  readonly server: string
  /** Jobs per second from the first enqueued to the last durably done. */
  whole(forMs: number): Promise<number>
  /** Jobs per second durably enqueued while nobody works on them. */
  submissions(forMs: number): Promise<number>
}

export class Peers {
  readonly all: readonly Peer[]
  readonly #processes: readonly PeerProcesses[]
  readonly #servers: readonly { destroy(): Promise<void> }[]

  private constructor(processes: readonly PeerProcesses[], servers: readonly { destroy(): Promise<void> }[]) {
    this.all = processes
    this.#processes = processes
    this.#servers = servers
  }

  /** Installs what is absent, starts both servers and all processes. */
  static async start(): Promise<Peers> {
    await install()
    const servers: { destroy(): Promise<void> }[] = []
    const processes: PeerProcesses[] = []
    try {
      // The same memory as the other database has, and more connections than all pools together.
      const postgres = await PostgresServer.start(['shared_buffers=512MB', 'max_connections=500'])
      servers.push(postgres)
      const redis = await RedisServer.start({
        appendonly: 'yes',
        appendfsync: 'always',
        'maxmemory-policy': 'noeviction',
      })
      servers.push(redis)
      for (const setting of ['fsync', 'synchronous_commit', 'full_page_writes'])
        if ((await postgres.show(setting)) !== 'on') throw new Error(`PostgreSQL runs without ${setting}`)
      if (!(await redis.command('CONFIG GET appendfsync')).includes('always'))
        throw new Error('Redis runs without appendfsync always')
      for (const description of descriptions) {
        const url =
          description.server === 'redis' ? redis.url : await postgres.create(description.name.replaceAll('-', '_'))
        const server =
          description.server === 'redis'
            ? `Redis ${redis.version}, appendfsync always`
            : `${postgres.version.replace(/^postgres \((\w+)\) (\S+).*/, '$1 $2')}, fsync and synchronous_commit on`
        processes.push(await PeerProcesses.start(description, url, server))
      }
      return new Peers(processes, servers)
    } catch (error) {
      await new Peers(processes, servers).stop()
      throw error
    }
  }

  async stop(): Promise<void> {
    for (const peer of this.#processes) peer.kill()
    for (const server of this.#servers) await server.destroy()
  }
}

class PeerProcesses implements Peer {
  readonly name: string
  readonly settings: string
  readonly version: string
  readonly server: string
  readonly #producer: ChildProcess
  readonly #worker: ChildProcess

  private constructor(
    description: Description,
    version: string,
    server: string,
    producer: ChildProcess,
    worker: ChildProcess,
  ) {
    this.name = description.name
    this.settings = description.settings
    this.version = version
    this.server = server
    this.#producer = producer
    this.#worker = worker
  }

  static async start(description: Description, url: string, server: string): Promise<PeerProcesses> {
    const manifest = new URL(`node_modules/${description.package}/package.json`, folder)
    const { version } = JSON.parse(await readFile(manifest, 'utf8'))
    const processes: ChildProcess[] = []
    try {
      // One after the other: both would migrate the same empty database. The worker first: it registers its queues.
      for (const role of ['worker', 'producer']) {
        const child = fork(new URL('run.js', folder), [description.name, role, url], {
          stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
        })
        processes.push(child)
        // While it is stopped it does not notice that we have gone.
        endWithUs(child.pid as number, null)
        await answer(child, description.name)
      }
    } catch (error) {
      for (const child of processes) child.kill('SIGKILL')
      throw error
    }
    const [worker, producer] = processes as [ChildProcess, ChildProcess]
    const peer = new PeerProcesses(description, version, server, producer, worker)
    peer.#signal('SIGSTOP')
    return peer
  }

  whole(forMs: number): Promise<number> {
    return this.#ask('whole', forMs)
  }

  submissions(forMs: number): Promise<number> {
    return this.#ask('submissions', forMs)
  }

  kill(): void {
    this.#signal('SIGKILL')
  }

  async #ask(kind: 'whole' | 'submissions', forMs: number): Promise<number> {
    this.#signal('SIGCONT')
    try {
      this.#producer.send({ kind, forMs })
      return (await answer(this.#producer, this.name)).rate as number
    } finally {
      this.#signal('SIGSTOP')
    }
  }

  #signal(signal: NodeJS.Signals): void {
    for (const child of [this.#producer, this.#worker]) child.kill(signal)
  }
}

interface PeerAnswer {
  readonly ready?: boolean
  readonly rate?: number
  readonly error?: string
}

async function answer(child: ChildProcess, name: string): Promise<PeerAnswer> {
  const settled = new AbortController()
  try {
    const [message] = (await Promise.race([
      once(child, 'message', { signal: settled.signal }),
      once(child, 'exit', { signal: settled.signal }).then(([code, signal]) => {
        throw new Error(`a process of ${name} ended (${code ?? signal})`)
      }),
    ])) as [PeerAnswer]
    if (message.error !== undefined) throw new Error(`${name}: ${message.error}`)
    return message
  } finally {
    settled.abort()
  }
}

/** From the lock file in their folder, only when nothing is installed there. No install scripts: none is needed. */
async function install(): Promise<void> {
  const installed = await access(new URL('node_modules/.package-lock.json', folder)).then(
    () => true,
    () => false,
  )
  if (installed) return
  process.stderr.write('installing the peers (npm ci in test/benchmark/peers)\n')
  await execute('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: folder })
}
