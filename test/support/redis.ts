/** A private Redis: the installed one, on a folder and a port of its own, gone with whoever started it. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { eventually } from './conditions.ts'
import { requiredProgram } from './packages.ts'
import { freePort } from './ports.ts'
import { endWithUs } from './survivors.ts'

const execute = promisify(execFile)

export class RedisServer {
  readonly port: number
  /** As `redis-server --version` says it. */
  readonly version: string
  readonly #folder: string
  readonly #process: ChildProcess
  readonly #ended: Promise<void>

  private constructor(port: number, version: string, folder: string, child: ChildProcess) {
    this.port = port
    this.version = version
    this.#folder = folder
    this.#process = child
    this.#ended = new Promise(resolve => child.once('exit', () => resolve()))
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Starts one with these settings and waits until it answers. */
  static async start(settings: Readonly<Record<string, string>> = {}): Promise<RedisServer> {
    const program = await requiredProgram(['redis-server'], 'redis-server')
    const { stdout } = await execute(program, ['--version'])
    const folder = await mkdtemp(join(tmpdir(), 'lens-ha-redis-'))
    const port = await freePort()
    const all = { port: String(port), bind: '127.0.0.1', dir: folder, daemonize: 'no', save: '', ...settings }
    const child = spawn(
      program,
      Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]),
      { stdio: 'ignore', detached: true },
    )
    const server = new RedisServer(port, /v=(\S+)/.exec(stdout)?.[1] ?? stdout.trim(), folder, child)
    endWithUs(child.pid as number, folder)
    try {
      await eventually(async () => child.exitCode !== null || (await server.command('PING')) === '+PONG', Boolean, {
        what: 'Redis',
      })
      if (child.exitCode !== null) throw new Error(`Redis ended at once (${child.exitCode})`)
      return server
    } catch (error) {
      await server.destroy()
      throw error
    }
  }

  /** One inline command, such as `CONFIG GET appendfsync`; gives the answer as the protocol writes it. */
  command(text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port: this.port })
      socket.once('error', reject)
      socket.once('data', data => {
        socket.destroy()
        resolve(data.toString().trim())
      })
      socket.write(`${text}\r\n`)
    })
  }

  async destroy(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }
}
