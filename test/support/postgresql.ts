/**
 * A private PostgreSQL: the installed one, on a folder and a port of its own, gone with whoever started it. It refuses to run
 * as root, so under root it runs as the user that Debian's package brings.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { chown, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TestFn } from 'ava'
import { eventually } from './conditions.ts'
import { installedProgram, requiredProgram } from './packages.ts'
import { freePort } from './ports.ts'
import { endWithUs } from './survivors.ts'

const execute = promisify(execFile)

/** Where fresh databases are made. */
export interface PostgresDatabases {
  /** The URL of a new, empty database. Starts the server at the first call. */
  create(): Promise<string>
  server(): Promise<PostgresServer>
}

/** Call once at the top of a test file: one server for all its tests, ended after the last. */
export function postgresDatabases(test: TestFn, settings: readonly string[] = []): PostgresDatabases {
  let started: Promise<PostgresServer> | undefined
  let databases = 0
  const server = () => {
    // Enough for a killed process; only a machine's crash would lose something.
    started ??= PostgresServer.start(['synchronous_commit=off', 'max_connections=300', ...settings])
    return started
  }
  test.after.always('end PostgreSQL', async () => {
    await (await started)?.destroy()
  })
  return { server, create: async () => (await server()).create(`lens_test_${++databases}`) }
}

interface Identity {
  readonly uid?: number
  readonly gid?: number
}

export class PostgresServer {
  readonly port: number
  /** As `postgres --version` says it. */
  readonly version: string
  readonly #folder: string
  readonly #identity: Identity
  readonly #arguments: readonly string[]
  readonly #program: string
  #process: ChildProcess
  #ended: Promise<void>

  private constructor(
    where: { readonly port: number; readonly folder: string },
    program: { readonly path: string; readonly version: string; readonly arguments: readonly string[] },
    identity: Identity,
  ) {
    this.port = where.port
    this.version = program.version
    this.#folder = where.folder
    this.#identity = identity
    this.#program = program.path
    this.#arguments = program.arguments
    this.#process = this.#spawn()
    this.#ended = ended(this.#process)
  }

  /** Starts one with these settings (`name=value`) and waits until it answers. */
  static async start(settings: readonly string[] = []): Promise<PostgresServer> {
    const program = await requiredProgram(['postgres'], 'postgresql')
    const initialise = await requiredProgram(['initdb'], 'postgresql')
    const identity = await identityOfServer()
    const folder = await mkdtemp(join(tmpdir(), 'lens-ha-postgres-'))
    try {
      if (identity.uid !== undefined && identity.gid !== undefined) await chown(folder, identity.uid, identity.gid)
      await execute(
        initialise,
        [`--pgdata=${folder}/data`, '--username=postgres', '--auth=trust', '--encoding=UTF8', '--no-locale'],
        { ...identity, cwd: folder },
      )
      const { stdout } = await execute(program, ['--version'])
      const port = await freePort()
      const all = [`port=${port}`, 'listen_addresses=127.0.0.1', `unix_socket_directories=${folder}`, ...settings]
      const server = new PostgresServer(
        { port, folder },
        {
          path: program,
          version: stdout.trim(),
          arguments: ['-D', `${folder}/data`, ...all.flatMap(setting => ['-c', setting])],
        },
        identity,
      )
      await server.#answers()
      return server
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** The URL of a new, empty database. */
  async create(database: string): Promise<string> {
    await this.#sql(`CREATE DATABASE ${database}`)
    return `postgresql://postgres@127.0.0.1:${this.port}/${database}`
  }

  /** What the server says of one of its settings, such as `fsync`. */
  show(setting: string): Promise<string> {
    return this.#sql(`SHOW ${setting}`)
  }

  /** Ends it at once, as a crash would, and starts it again on the same data and port. */
  async restart(): Promise<void> {
    this.#process.kill('SIGQUIT')
    await this.#ended
    this.#process = this.#spawn()
    this.#ended = ended(this.#process)
    await this.#answers()
  }

  /** Ends it at once and removes its folder. */
  async destroy(): Promise<void> {
    this.#process.kill('SIGQUIT')
    await this.#ended
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }

  #spawn(): ChildProcess {
    const child = spawn(this.#program, this.#arguments, {
      ...this.#identity,
      cwd: this.#folder,
      stdio: ['ignore', 'ignore', 'ignore'],
      detached: true,
    })
    endWithUs(child.pid as number, this.#folder, 'QUIT')
    return child
  }

  async #sql(text: string): Promise<string> {
    const client = await installedProgram(['psql'])
    if (!client) throw new Error('psql is missing beside the server')
    const { stdout } = await execute(
      client,
      [...['-h', '127.0.0.1', '-p', String(this.port), '-U', 'postgres'], '-tAqc', text],
      { ...this.#identity, cwd: this.#folder },
    )
    return stdout.trim()
  }

  async #answers(): Promise<void> {
    await eventually(async () => this.#process.exitCode !== null || (await this.#sql('SELECT 1')) === '1', Boolean, {
      what: 'PostgreSQL',
    })
    if (this.#process.exitCode === null) return
    throw new Error(`PostgreSQL ended at once (${this.#process.exitCode})`)
  }
}

/** Gives a folder, or a file, to whom the server runs as: it reads keys of nobody else. */
export async function givenToServer(path: string): Promise<void> {
  const { uid, gid } = await identityOfServer()
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid)
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise(resolve => child.once('exit', () => resolve()))
}

/** Nothing special for an ordinary user; for root the one that the package made. */
async function identityOfServer(): Promise<Identity> {
  if (process.getuid?.() !== 0) return {}
  const line = /^postgres:[^:]*:(\d+):(\d+):/m.exec(await readFile('/etc/passwd', 'utf8'))
  if (!line) throw new Error('PostgreSQL does not run as root, and there is no user postgres to run it as')
  return { uid: Number(line[1]), gid: Number(line[2]) }
}
