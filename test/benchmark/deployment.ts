/**
 * A cluster as it is deployed: three nodes behind a proxy (or several at once) with the very configuration of `docker/`, patrons who each follow a query
 * that runs, queries that wait, and requests at a steady rate, whatever the answers do.
 */
import type { Teardown } from '../support/folders.ts'
import { ask, besidesCounters, brokenInvariants } from '../support/invariants.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { type Proxy as Proxied, type ProxyKind, startProxy } from '../support/proxies.ts'
import { endless } from '../support/sleeping.ts'
import { type Bench, unlimited } from './bench.ts'
import { Patron } from './patron.ts'
import { ProxyClient } from './proxy-client.ts'

export interface DeploymentSize {
  readonly patrons: number
  /** Queries that wait in the heavy lane, whose only slot is taken. */
  readonly queued: number
  /** The statement of the nth query of a patron. */
  readonly sqlOf: (patron: number, count: number) => string
  /** What the nodes are started from; the present program unless given. */
  readonly entry?: string
  /** Beside what a deployment sets. */
  readonly env?: Readonly<Record<string, string>>
}

/** As many users share them. */
const sessionsMax = 20

export class Deployment {
  readonly cluster: TestCluster
  readonly client: ProxyClient
  readonly patrons: readonly Patron[]
  readonly proxies: readonly Proxied[]
  readonly #tokens: readonly string[]
  readonly #sessions: readonly { id: string; token: string }[]
  readonly #running: Promise<unknown>
  readonly #queued: string[] = []
  /** Recent handles of short queries. */
  readonly #short: string[] = []
  #submitted = 0

  private constructor(
    cluster: TestCluster,
    proxies: readonly Proxied[],
    client: ProxyClient,
    sessions: readonly { id: string; token: string }[],
    patrons: readonly Patron[],
    running: Promise<unknown>,
  ) {
    this.cluster = cluster
    this.proxies = proxies
    this.client = client
    this.patrons = patrons
    this.#sessions = sessions
    this.#tokens = sessions.map(({ token }) => token)
    this.#running = running
  }

  /** Resolves when every patron's query runs and all that shall wait waits. */
  static async start(
    stage: Teardown,
    bench: Pick<Bench, 'database'>,
    kinds: readonly ProxyKind[],
    { entry, env, ...size }: DeploymentSize,
  ): Promise<Deployment> {
    const storeUrl = await bench.database('deployment')
    const cluster = new TestCluster(storeUrl, {
      LENS_LOG_LEVEL: 'warn',
      ...unlimited,
      // Enough that nobody waits for a slot, wherever the queries are.
      LENS_LANES_LIGHT_SLOTS: `${size.patrons * 3 + 200}`,
      LENS_LANES_HEAVY_SLOTS: '1',
      // As docker/compose.yaml has it.
      LENS_DRAIN_READINESS_MS: '3000',
      ...env,
    })
    stage.teardown(() => cluster.stop())
    if (entry !== undefined) cluster.entry = entry
    const nodes = await cluster.startAll(3)
    const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`)
    const proxies = await Promise.all(kinds.map(kind => startProxy(stage, kind, addresses)))
    const urls = proxies.map(({ url }) => url)
    const client = new ProxyClient(...urls)
    stage.teardown(() => client.close())
    const sessions = await Promise.all(
      Array.from({ length: Math.min(sessionsMax, size.patrons) }, (_, index) =>
        (nodes[index % 3] as NodeProcess).session(`user-${index}`),
      ),
    )
    const tokenOf = (index: number) => sessions[index % sessions.length]?.token as string
    const patrons = Array.from({ length: size.patrons }, (_, index) => {
      const url = urls[index % urls.length] as string
      return new Patron(client, url, tokenOf(index), index)
    })
    stage.teardown(() => {
      for (const patron of patrons) patron.abandon()
    })
    const running = Promise.all(patrons.map((patron, index) => patron.run(count => size.sqlOf(index, count))))
    running.catch(() => {})
    const deployment = new Deployment(cluster, proxies, client, sessions, patrons, running)
    await deployment.#fillQueue(size.queued)
    await eventually(
      'every patron has a query that runs',
      () => patrons.every(({ latest, ended }) => ended > 0 || latest?.view.status === 'RUNNING'),
      120_000,
    )
    return deployment
  }

  async #fillQueue(count: number): Promise<void> {
    const token = this.#tokens[0] as string
    for (let index = 0; index <= count; index++) {
      const answer = await this.client.call('POST', '/api/v1/queries', token, {
        sql: endless,
        lane: 'heavy',
        name: `queued-${index}`,
      })
      if (answer?.status !== 202) throw new Error(`not accepted: ${JSON.stringify(answer)}`)
      this.#queued.push(JSON.parse(answer.text).handle)
    }
  }

  /** A submission of a short query; gives how long its answer took, in milliseconds. */
  async submit(): Promise<number> {
    const index = this.#submitted++
    const token = this.#tokens[index % this.#tokens.length] as string
    const from = performance.now()
    const answer = await this.client.call('POST', '/api/v1/queries', token, {
      sql: 'select 42 as answer',
      lane: 'light',
      name: `short-${index}`,
    })
    const took = performance.now() - from
    if (answer === null) return took
    if (answer.status !== 202) this.client.failures.push(`a submission: ${answer.status} ${answer.text}`)
    else {
      this.#short.push(`${index % this.#tokens.length} ${JSON.parse(answer.text).handle}`)
      if (this.#short.length > 1_000) this.#short.shift()
    }
    return took
  }

  /** The status of a recent query, or (for every tenth `turn`) a list; gives how long its answer took, in milliseconds. */
  async look(turn: number): Promise<number> {
    const known = this.#short[turn % Math.max(1, this.#short.length)]
    const [session, handle] = known?.split(' ') ?? []
    const listed = turn % 10 === 0 || handle === undefined
    const token = this.#tokens[listed ? 0 : Number(session)] as string
    const from = performance.now()
    const answer = await this.client.call(
      'GET',
      listed ? '/api/v1/queries?limit=5' : `/api/v1/queries/${handle}`,
      token,
    )
    const took = performance.now() - from
    if (answer !== null && answer.status !== 200) this.client.failures.push(`a look: ${answer.status} ${answer.text}`)
    return took
  }

  /** `requests` at a steady rate, one in ten a submission; resolves when the last was answered. */
  async requests(perSecond: number, requests: number): Promise<void> {
    const begin = performance.now()
    const all: Promise<unknown>[] = []
    for (let index = 0; index < requests; index++) {
      const waitMs = begin + (index * 1_000) / perSecond - performance.now()
      if (waitMs > 1) await new Promise(resolve => setTimeout(resolve, waitMs))
      all.push(index % 10 === 0 ? this.submit() : this.look(index))
    }
    await Promise.all(all)
  }

  /**
   * Lets the patrons' queries end, or cancels them, and gives what is wrong: versions, ends, queries that are gone or there
   * twice.
   */
  async end(cancelled = false): Promise<readonly string[]> {
    for (const patron of this.patrons) patron.stop(cancelled)
    if (cancelled)
      for (const { latest, token } of this.patrons)
        await this.client.call('DELETE', `/api/v1/queries/${latest?.view.handle}`, token)
    await this.#running
    const storeUrl = this.cluster.storeUrl
    const [waiting] = await ask(storeUrl, "SELECT COUNT(*) AS n FROM current_query WHERE lane = 'heavy'")
    const twice = await ask(
      storeUrl,
      'SELECT name, COUNT(*) AS n FROM (SELECT name FROM current_query UNION ALL SELECT name FROM finished_query) AS both_tables GROUP BY name HAVING n > 1',
    )
    const [unsuccessful] = await ask(
      storeUrl,
      `SELECT COUNT(*) AS n FROM finished_query WHERE outcome NOT IN ('SUCCESSFUL'${cancelled ? ", 'CANCELED'" : ''})`,
    )
    const faults = [
      ...this.patrons.flatMap(patron => patron.faults),
      ...(Number(waiting?.n) === this.#queued.length
        ? []
        : [`of ${this.#queued.length} that wait ${waiting?.n} are left`]),
      ...twice.map(({ name, n }) => `${name} is there ${n} times`),
      ...(Number(unsuccessful?.n) === 0 ? [] : [`${unsuccessful?.n} queries did not end SUCCESSFUL`]),
    ]
    const [node] = this.cluster.running as [NodeProcess]
    for (const { id, token } of this.#sessions)
      await node.call('DELETE', `/api/v1/sessions/${id}?cancelQueries=true`, { token })
    await eventually('nothing is left', async () => {
      const [left] = await ask(storeUrl, 'SELECT COUNT(*) AS n FROM current_query')
      return Number(left?.n) === 0
    })
    const handles = this.patrons.flatMap(patron => patron.handles)
    const broken = await brokenInvariants(storeUrl, [...handles, ...this.#queued])
    return [...faults, ...besidesCounters(broken)]
  }
}
