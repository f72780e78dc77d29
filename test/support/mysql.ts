/**
 * MySQL for tests: the server that `LENS_TEST_MYSQL_URL` names, or a private one of the installed `mysqld` or `mariadbd`, on a
 * folder and a port of its own. Every caller gets a fresh database. Faults are made only to private servers.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { TestFn } from 'ava'
import { type Connection, createConnection } from 'mysql2/promise'
import { eventually } from './conditions.ts'
import type { Teardown } from './folders.ts'
import { installedProgram, requiredProgram } from './packages.ts'
import { freePort } from './ports.ts'
import { endWithUs } from './survivors.ts'

const execute = promisify(execFile)

/** Where fresh databases are made. */
export interface MySqlDatabases {
  /** The URL of a new, empty database, dropped when the test ends. Starts the server at the first call. */
  create(t: Teardown): Promise<string>
}

/** Call once at the top of a test file: one server for all its tests, stopped after the last. */
export function mysqlDatabases(test: TestFn): MySqlDatabases {
  const given = process.env.LENS_TEST_MYSQL_URL
  let server: Promise<MySqlServer> | undefined
  test.after.always('stop MySQL', async () => {
    await (await server)?.destroy()
  })
  return {
    async create(t) {
      if (given) return createDatabase(t, given)
      server ??= MySqlServer.start()
      return createDatabase(t, (await server).url)
    },
  }
}

/** A private server that the test may stop, freeze and kill. Gone with the test. */
export async function privateMySqlServer(t: Teardown): Promise<MySqlServer> {
  const server = await MySqlServer.start()
  t.teardown(() => server.destroy())
  return server
}

/** A new database on the server of this URL, dropped when the test ends; gives its URL. */
export async function createDatabase(t: Teardown, serverUrl: string): Promise<string> {
  const name = `lens_test_${randomBytes(8).toString('hex')}`
  await withConnection(serverUrl, connection => connection.query(`CREATE DATABASE ${name}`))
  t.teardown(async () => {
    // A server that the test killed takes its databases along.
    await withConnection(serverUrl, connection => connection.query(`DROP DATABASE IF EXISTS ${name}`)).catch(
      () => undefined,
    )
  })
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}

/** The URL of a new database for a user who may do everything in it, and nothing else: `read_only` binds no administrator. */
export async function createOrdinaryDatabase(t: Teardown, serverUrl: string): Promise<string> {
  const url = new URL(await createDatabase(t, serverUrl))
  await executeAt(serverUrl, "CREATE USER IF NOT EXISTS 'lens'@'%' IDENTIFIED BY 'lens'")
  await executeAt(serverUrl, `GRANT ALL ON ${url.pathname.slice(1)}.* TO 'lens'@'%'`)
  url.username = 'lens'
  url.password = 'lens'
  return url.href
}

/** One statement, on a connection of its own. */
export async function executeAt(url: string, sql: string): Promise<void> {
  await withConnection(url, connection => connection.query(sql))
}

async function withConnection<T>(url: string, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await createConnection({ uri: url, connectTimeout: 10_000 })
  try {
    return await work(connection)
  } finally {
    connection.destroy()
  }
}

/**
 * The folder of a server that was never started, made once for each version of the program and copied from then on: making one
 * takes half a second of the processor, and each file of tests needs one.
 */
let madeData: Promise<string> | undefined

function freshData(program: string, user: readonly string[]): Promise<string> {
  madeData ??= findOrMakeData(program, user)
  return madeData
}

async function findOrMakeData(program: string, user: readonly string[]): Promise<string> {
  const { stdout } = await execute(program, ['--version'])
  const cache = fileURLToPath(new URL('../../node_modules/.cache/mysql/', import.meta.url))
  const made = join(cache, createHash('sha256').update(`${program} ${user} ${stdout}`).digest('hex').slice(0, 16))
  if (existsSync(made)) return made
  await mkdir(cache, { recursive: true })
  const making = await mkdtemp(join(cache, 'making-'))
  try {
    await mkdir(`${making}/tmp`)
    await initialise(program, stdout.includes('MariaDB'), user, making)
    // Whoever is first keeps its own; another test process may have been faster.
    await rename(`${making}/data`, made).catch(error => {
      if (!existsSync(made)) throw error
    })
    return made
  } finally {
    await rm(making, { recursive: true, force: true })
  }
}

async function initialise(program: string, isMariaDb: boolean, user: readonly string[], folder: string): Promise<void> {
  const folders = [`--datadir=${folder}/data`, `--tmpdir=${folder}/tmp`]
  if (isMariaDb) {
    const installer = await installedProgram(['mariadb-install-db', 'mysql_install_db'])
    if (!installer) throw new Error('mariadb-install-db is missing beside the server')
    // A small log: the server makes one of its own size when it starts, and this one is only copied.
    const options = ['--auth-root-authentication-method=normal', '--skip-test-db', '--innodb-log-file-size=4M']
    await execute(installer, ['--no-defaults', ...user, ...folders, ...options])
  } else await execute(program, ['--no-defaults', ...user, ...folders, '--initialize-insecure'])
}

export class MySqlServer {
  readonly port: number
  readonly #program: string
  readonly #folder: string
  #process: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()

  readonly #options: readonly string[]

  private constructor(program: string, folder: string, port: number, options: readonly string[]) {
    this.#program = program
    this.#options = options
    this.#folder = folder
    this.port = port
  }

  get pid(): number {
    return this.#process?.pid as number
  }

  /** Root without a password, on the server itself. */
  get url(): string {
    return `mysql://root@127.0.0.1:${this.port}`
  }

  /** `options`: further ones of the server; they win over those that tests need. */
  static async start(options: readonly string[] = []): Promise<MySqlServer> {
    const program = await requiredProgram(['mysqld', 'mariadbd'], 'mariadb-server')
    const folder = await mkdtemp(join(tmpdir(), 'lens-ha-mysql-'))
    const server = new MySqlServer(program, folder, await freePort(), options)
    try {
      await server.#initialise()
      await server.start()
      return server
    } catch (error) {
      await server.destroy()
      throw error
    }
  }

  get #user(): string[] {
    return process.getuid?.() === 0 ? ['--user=root'] : []
  }

  async #initialise(): Promise<void> {
    await mkdir(`${this.#folder}/tmp`)
    await cp(await freshData(this.#program, this.#user), `${this.#folder}/data`, { recursive: true })
  }

  /** Starts it (again), on the same data and port, and waits until it answers. */
  async start(): Promise<void> {
    const child = spawn(
      this.#program,
      [
        '--no-defaults',
        ...this.#user,
        `--datadir=${this.#folder}/data`,
        `--port=${this.port}`,
        '--bind-address=127.0.0.1',
        `--socket=${this.#folder}/socket`,
        `--pid-file=${this.#folder}/pid`,
        // Its own: a server that starts deletes what looks like its temporary tables, also those of others.
        `--tmpdir=${this.#folder}/tmp`,
        `--log-error=${this.#folder}/error.log`,
        '--innodb-buffer-pool-size=64M',
        // Enough for a killed process; only a machine's crash would lose something.
        '--innodb-flush-log-at-trx-commit=2',
        '--max-connections=500',
        ...this.#options,
      ],
      { stdio: 'ignore', detached: true },
    )
    this.#process = child
    this.#ended = new Promise(resolve => child.once('exit', () => resolve()))
    endWithUs(child.pid as number, this.#folder)
    let ended = false
    void this.#ended.then(() => {
      ended = true
    })
    await eventually(
      async () => {
        if (!ended) await withConnection(this.url, connection => connection.query('SELECT 1'))
        return true
      },
      Boolean,
      { what: 'the database server' },
    )
    if (ended) throw new Error(`the database server ended: ${await readFile(`${this.#folder}/error.log`, 'utf8')}`)
  }

  /** Shuts it down in order. */
  async stop(): Promise<void> {
    this.#process?.kill('SIGTERM')
    await this.#ended
  }

  /** Freezes it: connections stay, nothing answers. */
  pause(): void {
    this.#process?.kill('SIGSTOP')
  }

  resume(): void {
    this.#process?.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL')
    await this.#ended
  }

  /** Ends it and removes its folder. */
  async destroy(): Promise<void> {
    await this.kill()
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }
}
