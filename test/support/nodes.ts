/**
 * Real nodes as real processes, for system tests: started on free ports over one database, watched through their API and
 * their log, killed, frozen and resumed by pid. Everything waits for a signal; nothing sleeps for a fixed time.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { eventually as eventuallyTrue } from './conditions.ts'
import { freePort } from './ports.ts'

export { freePort }

/** The program as it is in this repository. */
export const presentEntry = new URL('../../src/main.ts', import.meta.url).pathname

export interface LogLine {
  readonly [key: string]: unknown
  readonly msg?: string
}

export interface NodeOptions {
  readonly name: string
  /** The address that it listens on and that others reach it at; 127.0.0.1 unless given. */
  readonly host?: string
  readonly port?: number
  /** What comes before the node's own command, such as what enters a network namespace. */
  readonly within?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface Answer<Body = any> {
  readonly status: number
  readonly body: Body
  readonly headers: Headers
}

/** `eventually` with the reason first: what a system test reads best. */
export function eventually<T>(
  what: string | (() => string),
  ask: () => T | Promise<T>,
  withinMs = 60_000,
): Promise<NonNullable<T>> {
  return eventuallyTrue(ask, Boolean, { what, withinMs, periodMs: 20 }) as Promise<NonNullable<T>>
}

export class NodeProcess {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly #scheme: 'http' | 'https'
  readonly log: LogLine[] = []
  readonly #child: ChildProcess
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  exit: { code: number | null; signal: NodeJS.Signals | null } | null = null

  constructor(name: string, port: number, child: ChildProcess, host = '127.0.0.1', secure = false) {
    this.name = name
    this.#scheme = secure ? 'https' : 'http'
    this.host = host
    this.port = port
    this.#child = child
    const keep = (line: string) => {
      try {
        this.log.push(JSON.parse(line))
      } catch {
        this.log.push({ msg: line })
      }
      if (process.env.LENS_TEST_SHOW_LOGS) process.stderr.write(`${name}: ${line}\n`)
    }
    if (child.stdout) createInterface(child.stdout).on('line', keep)
    if (child.stderr) createInterface(child.stderr).on('line', keep)
    this.exited = once(child, 'exit').then(([code, signal]) => {
      this.exit = { code, signal }
      return this.exit
    })
  }

  get url(): string {
    return `${this.#scheme}://${this.host}:${this.port}`
  }
  get pid(): number {
    return this.#child.pid as number
  }
  get running(): boolean {
    return this.exit === null
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) process.kill(this.pid, signal)
  }
  /** kill -9, and waits until the process is gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.exited
  }
  /** SIGTERM, and waits for the graceful end. */
  async terminate(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    this.signal('SIGTERM')
    const logged = () => JSON.stringify(this.log.slice(-8))
    await eventually(
      () => `${this.name} leaves; its log: ${logged()}`,
      () => this.exit,
      120_000,
    )
    return this.exited
  }

  async ready(): Promise<this> {
    await eventually(
      () => `${this.name} is ready; its log: ${JSON.stringify(this.log.slice(-5))}`,
      async () => {
        if (!this.running) throw new Error(`${this.name} ended: ${JSON.stringify(this.log.slice(-10))}`)
        return (await fetch(`${this.url}/readyz`)).ok
      },
    )
    return this
  }

  async call<Body = any>(
    method: string,
    target: string,
    options: { token?: string; body?: unknown; headers?: Record<string, string>; signal?: AbortSignal } = {},
  ): Promise<Answer<Body>> {
    const response = await fetch(`${this.url}${target}`, {
      method,
      headers: {
        ...(options.token ? { authorization: `Bearer ${options.token}` } : {}),
        ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      ...(options.signal ? { signal: options.signal } : {}),
    })
    const text = await response.text()
    const json = text !== '' && /[/+]json/.test(response.headers.get('content-type') ?? '')
    return { status: response.status, body: json ? JSON.parse(text) : text, headers: response.headers } as Answer<Body>
  }

  /** Opens a session; gives its token. */
  async session(user = 'tester', more: Record<string, unknown> = {}): Promise<{ id: string; token: string }> {
    const ask = () => this.call('POST', '/api/v1/sessions', { body: { user, ...more } })
    // A database that answers too late, as on a machine whose disk is cold and busy, says itself that it is worth another try.
    const { status, body } = await eventuallyTrue(ask, answer => answer.body.code !== 'STORE_UNAVAILABLE', {
      what: `a session on ${this.name}`,
      periodMs: 100,
    })
    if (status !== 201) throw new Error(`no session: ${status} ${JSON.stringify(body)}`)
    return body
  }

  async submit(token: string, request: Record<string, unknown>, headers: Record<string, string> = {}): Promise<any> {
    const { status, body } = await this.call('POST', '/api/v1/queries', { token, body: request, headers })
    if (status !== 202 && status !== 200) throw new Error(`not accepted: ${status} ${JSON.stringify(body)}`)
    return body
  }

  async query(token: string, handle: string): Promise<any> {
    const { status, body } = await this.call('GET', `/api/v1/queries/${handle}`, { token })
    if (status !== 200) throw new Error(`no query: ${status} ${JSON.stringify(body)}`)
    return body
  }

  /** Waits until the query has ended, by polling this node. */
  ended(token: string, handle: string, timeoutMs = 60_000): Promise<any> {
    return eventually(
      `${handle} ends on ${this.name}`,
      async () => {
        const query = await this.query(token, handle)
        return query.outcome === null ? null : query
      },
      timeoutMs,
    )
  }

  async rows(token: string, handle: string): Promise<unknown[][]> {
    const rows: unknown[][] = []
    for (let offset: number | null = 0; offset !== null; ) {
      const { status, body }: Answer = await this.call(
        'GET',
        `/api/v1/queries/${handle}/results?offset=${offset}&limit=5000`,
        {
          token,
        },
      )
      if (status !== 200) throw new Error(`no rows: ${status} ${JSON.stringify(body)}`)
      rows.push(...body.rows)
      offset = body.nextOffset
    }
    return rows
  }

  metrics(): Promise<string> {
    return fetch(`${this.url}/metrics`).then(response => response.text())
  }
}

export class TestCluster {
  readonly nodes: NodeProcess[] = []
  /** What nodes are started from, from now on: the present program, unless it is the entry of another build. */
  entry = presentEntry
  readonly #storeUrl: string
  readonly #env: Readonly<Record<string, string>>
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'lens-test-'))

  constructor(storeUrl: string | null, env: Readonly<Record<string, string>> = {}) {
    this.#storeUrl = storeUrl ?? `sqlite:${path.join(this.#folder, 'lens.db')}`
    this.#env = env
  }

  get storeUrl(): string {
    return this.#storeUrl
  }
  get folder(): string {
    return this.#folder
  }

  /** Starts a node; `ready` is the caller's to await. */
  async start({ name, host, port, env, within = [] }: NodeOptions): Promise<NodeProcess> {
    const chosen = port ?? (await freePort())
    const whole = [...within, process.execPath, this.entry, 'serve', '--stop-with-parent']
    const [program = process.execPath, ...args] = whole
    // The channel ends with this process: no node outlives a test run that was killed.
    const child = spawn(program, args, {
      cwd: this.#folder,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: {
        PATH: process.env.PATH,
        // Hundreds of nodes start in a run of all tests: what the first compiled serves the others.
        ...(process.env.NODE_COMPILE_CACHE ? { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE } : {}),
        LENS_NODE_ID: name,
        LENS_PORT: String(chosen),
        ...(host ? { LENS_HOST: host } : {}),
        LENS_STORE_URL: this.#storeUrl,
        LENS_CLUSTER_SECRET: 'a secret for tests only',
        LENS_DATA_DIR: path.join(this.#folder, name),
        LENS_LOG_LEVEL: process.env.LENS_TEST_LOG_LEVEL ?? 'info',
        // While a statement sleeps on a thread of DuckDB's pool, the thread that began it spins: with one thread nobody does.
        LENS_ENGINES_DUCKDB_THREADS: '1',
        ...this.#env,
        ...env,
      },
    })
    child.channel?.unref()
    const secure = (env ?? this.#env).LENS_TLS_CERTIFICATE_FILE !== undefined
    const node = new NodeProcess(name, chosen, child, host, secure)
    this.nodes.push(node)
    return node
  }

  /** Starts `n1` … and waits until all are ready and see each other. */
  async startAll(count: number): Promise<NodeProcess[]> {
    const nodes: NodeProcess[] = []
    for (let index = 1; index <= count; index++) nodes.push(await this.start({ name: `n${index}` }))
    await Promise.all(nodes.map(node => node.ready()))
    await this.settled(count)
    return nodes
  }

  /** Waits until every running node sees `count` living members and one leader. */
  async settled(count: number): Promise<void> {
    const [first] = this.running
    if (!first) throw new Error('no node runs')
    const { token } = await first.session('admin')
    for (const node of this.running)
      await eventually(`${node.name} sees ${count} members and a leader`, async () => {
        const { body } = await node.call('GET', '/api/v1/cluster', { token })
        return body.leader !== null && body.nodes.filter((member: any) => member.state === 'alive').length === count
      })
  }

  get running(): NodeProcess[] {
    return this.nodes.filter(node => node.running)
  }

  async leader(): Promise<NodeProcess> {
    return eventually('there is a leader among the running nodes', async () => {
      for (const node of this.running) {
        const { token } = await node.session('admin')
        const { body } = await node.call('GET', '/api/v1/cluster', { token })
        const leader = this.running.find(({ name }) => name === body.leader?.node)
        if (leader) return leader
      }
      return null
    })
  }

  /** Ends what runs, by its pid, and removes the folder. */
  async stop(): Promise<void> {
    await Promise.all(
      this.nodes.map(async node => {
        if (!node.running) return
        node.signal('SIGCONT')
        await node.kill()
      }),
    )
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
