/**
 * Members of a cluster in one process: real stores, real heartbeats, real HTTP listeners and sockets; only the work is a
 * ledger. What a test breaks (a listener, a heartbeat's database) is broken here, at one place.
 */
import { createServer, type RequestListener, type Server } from 'node:http'
import type { Socket } from 'node:net'
import { systemClock, systemRandom } from '../../../src/async/index.ts'
import {
  busPath,
  Cluster,
  type ClusterCount,
  type ClusterOptions,
  type ClusterSettings,
  type HandOverTarget,
  identityPath,
  LocalHeartbeat,
  type OwnedWork,
  periodsOf,
} from '../../../src/cluster/index.ts'
import type { OwnershipChangeView } from '../../../src/domain/index.ts'
import { type LeaseStore, leaseModuleOf, openStore, type Store } from '../../../src/store/index.ts'
import { openLeaseStore } from '../../../src/store/lease.ts'
import type { Teardown } from '../folders.ts'
import { freePort } from '../ports.ts'
import { handOver } from './queries.ts'
import { logOf } from './quiet-log.ts'

export interface MemberOptions {
  /** The newest that it reads; 1 unless given. */
  readonly snapshotVersion?: number
  readonly url: string
  readonly name: string
  readonly port?: number
  readonly leaseMs?: number
  readonly heartbeatMs?: number
  readonly slots?: number
  readonly connectionsMax?: number
  /** Beats on the main loop through `faults.beats`, so that the test can stall or fail them. */
  readonly breakable?: boolean
  /** Does not wait until it has joined. */
  readonly unstarted?: boolean
  readonly options?: Partial<ClusterOptions>
}

/** What the test has broken. */
export interface Faults {
  /** `stall`: beats hang; `fail`: they are rejected. */
  beats: 'none' | 'stall' | 'fail'
  /** What the listener answers to who asks for the identity. */
  identity: 'self' | 'another' | 'silent'
}

export interface Member {
  readonly cluster: Cluster
  readonly store: Store
  readonly name: string
  readonly port: number
  readonly address: string
  readonly work: Ledger
  readonly faults: Faults
  readonly news: { change: OwnershipChangeView; users: readonly string[] }[]
  readonly counts: Map<ClusterCount, number>
  readonly terms: number[]
  drainRequests: number
  cutOffs: number
  fatal: Error | null
  /** Ends its listener and connections, and its cluster part, as kill -9 would. */
  kill(): Promise<void>
  /** Closes its listener and all its connections, while it lives on. */
  refuse(): Promise<void>
  /** Cuts all its connections, both ways; the listener stays. */
  cut(): void
}

/** Knows what its incarnation owns from the rows, as the actors do. */
export class Ledger implements OwnedWork {
  readonly #store: Store
  readonly #incarnation: () => string
  owned: readonly string[] = []
  looks = 0
  abandoned = 0
  budgetChanges = 0
  slots = new Map<string, number>()
  running = 0

  constructor(store: Store, incarnation: () => string) {
    this.#store = store
    this.#incarnation = incarnation
  }

  async look(): Promise<void> {
    this.looks++
    const owned: string[] = []
    for (;;) {
      const page = await this.#store.queries.ownedBy(this.#incarnation(), 500, owned.at(-1))
      owned.push(...page.map(query => query.handle))
      if (page.length < 500) break
    }
    this.owned = owned
  }

  async abandon(): Promise<void> {
    this.abandoned++
    this.owned = []
    this.slots.clear()
  }

  async handOver(targets: () => readonly HandOverTarget[]): Promise<void> {
    await this.look()
    for (const [index, handle] of this.owned.entries()) {
      const all = targets()
      const target = all[index % all.length]
      if (target) await handOver(this.#store, handle, target)
    }
    await this.look()
  }

  load() {
    return { running: this.running, queued: this.owned.length, slots: this.slots }
  }

  budgetsChanged(): void {
    this.budgetChanges++
  }
}

export const testLeaseMs = 2000
export const testHeartbeatMs = 200

export async function startMember(t: Teardown, given: MemberOptions): Promise<Member> {
  const { url, name, leaseMs = testLeaseMs, heartbeatMs = testHeartbeatMs, slots = 6, connectionsMax = 8 } = given
  const log = logOf(name)
  const port = given.port ?? (await freePort())
  const address = `http://127.0.0.1:${port}`
  const store = openStore({ url, connectionsMax, retryMs: 2000, clock: systemClock, random: systemRandom })
  await store.open()
  const faults: Faults = { beats: 'none', identity: 'self' }
  const work = new Ledger(store, () => cluster.incarnation())
  const settings: ClusterSettings = {
    node: name,
    address,
    secret: 'a secret of the tests',
    softwareVersion: '0.0.0',
    snapshotVersion: given.snapshotVersion ?? 1,
    leaseMs,
    heartbeatMs,
    drainGraceMs: 1000,
  }
  const { attemptMs } = periodsOf(settings)
  const leaseOptions = { url, attemptMs }
  const lease = given.breakable
    ? new LocalHeartbeat({
        open: async () => breakable(await openLeaseStore(leaseOptions), faults),
        heartbeatMs,
        attemptMs,
        clock: systemClock,
        random: systemRandom,
        log,
      })
    : leaseModuleOf(leaseOptions)
  const counts = new Map<ClusterCount, number>()
  const cluster = new Cluster({
    settings,
    stores: store,
    lease,
    work,
    lanes: [{ engine: 'main', lane: 'heavy', slots }],
    clock: systemClock,
    random: systemRandom,
    log,
    count: (counter, by = 1) => counts.set(counter, (counts.get(counter) ?? 0) + by),
    onDrainRequested: () => member.drainRequests++,
    onCutOff: () => member.cutOffs++,
    onFatal: error => {
      member.fatal = error
    },
    ...given.options,
  })
  const listener = await listen(port, cluster, faults)
  let stopped: Promise<unknown> | undefined
  const member: Member = {
    cluster,
    store,
    name,
    port,
    address,
    work,
    faults,
    news: [],
    counts,
    terms: [],
    drainRequests: 0,
    cutOffs: 0,
    fatal: null,
    kill() {
      stopped ??= Promise.all([listener.close(), cluster.crash()]).then(() => store.close())
      return stopped.then(() => undefined)
    },
    refuse: () => listener.close(),
    cut: () => listener.cut(),
  }
  cluster.onOwnership((change, users) => member.news.push({ change, users }))
  cluster.onChange(() => {
    const { term } = cluster
    if (term !== null && !member.terms.includes(term)) member.terms.push(term)
  })
  t.teardown(async () => {
    faults.beats = 'none'
    stopped ??= cluster.stop().finally(async () => {
      await listener.close()
      await store.close()
    })
    await stopped
  })
  if (!given.unstarted) await cluster.start()
  return member
}

async function listen(port: number, cluster: Cluster, faults: Faults) {
  const sockets = new Set<Socket>()
  const answer: RequestListener = (request, response) => {
    if (request.url !== identityPath) return void response.writeHead(404).end()
    if (faults.identity === 'silent') return
    const identity = cluster.identity
    const shown = faults.identity === 'self' ? identity : { ...identity, incarnation: 'another' }
    response.setHeader('content-type', 'application/json').end(JSON.stringify(shown))
  }
  const server: Server = createServer(answer)
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('upgrade', (request, socket, head) => {
    if (request.url === busPath && faults.identity === 'self') cluster.handleUpgrade(request, socket, head)
    else socket.destroy()
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  let closed: Promise<void> | undefined
  return {
    cut,
    close() {
      closed ??= new Promise(resolve => server.close(() => resolve()))
      cut()
      return closed
    },
  }
}

/** A real lease store behind a wire that the test can break. */
function breakable(store: LeaseStore, faults: Faults): LeaseStore {
  return {
    renew(beat) {
      if (faults.beats === 'stall') return new Promise(() => undefined)
      if (faults.beats === 'fail') return Promise.reject(new Error('the wire is broken'))
      return store.renew(beat)
    },
    close: () => store.close(),
  }
}
