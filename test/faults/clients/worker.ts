/**
 * One user at work through faults: opens sessions, submits in all ways, asks again elsewhere when nobody knows what became of
 * a request, watches from two nodes, reads rows from any, cancels, drops, closes, and tries what belongs to others.
 */
import { setTimeout } from 'node:timers/promises'
import type { SeededRandom } from '../../simulation/random.ts'
import { Caller, type NodeAddress, type Reply } from './caller.ts'
import { Listener } from './listener.ts'
import type { Recorder } from './recorder.ts'
import { drawStatement, type Statement, sleeping, writing } from './work.ts'

/** What the workers of one process know of each other's: ids to try that are not one's own. */
export interface Known {
  readonly sessions: { readonly id: string; readonly user: string }[]
  readonly handles: { readonly handle: string; readonly user: string }[]
}

export interface WorkerOptions {
  readonly client: string
  readonly user: string
  readonly nodes: readonly NodeAddress[]
  readonly random: SeededRandom
  readonly recorder: Recorder
  readonly known: Known
  /** Between two rounds, milliseconds. */
  readonly pauseMs: number
}

type Round = () => Promise<void>

const knownMax = 50
/** Requests at once that some limit cannot hold. */
const burst = 12
/** A query that has not ended this long after the last fault is given up: the checker sees that it did not. */
const endsWithinMs = 120_000
/** A frame that is not there this long after its query ended does not come. */
const seenWithinMs = 20_000
const retryMs = 100

export class Worker {
  readonly #options: WorkerOptions
  readonly #caller: Caller
  readonly #random: SeededRandom
  #listener: Listener | null = null
  #revision = 0
  #keys = 0
  #stopping = false

  constructor(options: WorkerOptions) {
    const { client, user, nodes, random, recorder } = options
    this.#options = options
    this.#random = random
    this.#caller = new Caller(client, user, nodes, random, recorder)
  }

  /** Resolves after `stop`, when all that was begun has ended. */
  async run(): Promise<void> {
    while (!this.#stopping) {
      if (this.#caller.session === null) await this.#open()
      else await this.#draw()()
      await setTimeout(this.#random.between(0.3, 1.7) * this.#options.pauseMs)
    }
    const giveUpAt = performance.now() + seenWithinMs
    while (this.#listener && !this.#listener.complete && performance.now() < giveUpAt) await setTimeout(50)
    this.#listener?.close(null)
  }

  stop(): void {
    this.#stopping = true
  }

  #draw(): Round {
    const weights: readonly (readonly [number, Round])[] = [
      [46, () => this.#submitAndFollow('async', true)],
      [16, () => this.#submitAndFollow('async', false)],
      [9, () => this.#submitAndFollow('sync', true)],
      [7, () => this.#submitAndFollow('sync', false)],
      [3, () => this.#submitWriting()],
      [5, () => this.#intrude()],
      [4, () => this.#touchSession()],
      [4, () => this.#replaceSession()],
      [3, () => this.#list()],
      [2, () => this.#burst()],
      [1, () => this.#openMany()],
    ]
    let ticket = this.#random.between(0, 100)
    for (const [weight, round] of weights) {
      ticket -= weight
      if (ticket < 0) return round
    }
    return () => this.#list()
  }

  /** Repeats on other nodes until somebody says what became of it, or all is over. */
  async #insist(ask: (node: NodeAddress) => Promise<Reply>): Promise<Reply> {
    let node = this.#caller.pick()
    for (const giveUpAt = performance.now() + endsWithinMs; ; ) {
      const reply = await ask(node)
      if (reply.status !== 'lost' && reply.status < 500) return reply
      if (performance.now() > giveUpAt) return reply
      await setTimeout(retryMs)
      node = this.#caller.pick(node)
    }
  }

  async #open(): Promise<void> {
    const key = this.#nextKey()
    const { status, body } = await this.#insist(node => this.#caller.openSession(node, key))
    if (status !== 201 && status !== 200) return
    const { id, token } = body
    this.#caller.session = { id, token }
    this.#revision = 0
    this.#keep(this.#options.known.sessions, { id, user: this.#options.user })
    const topic = this.#random.chance(0.7) ? 'query' : 'session'
    this.#listener = new Listener(topic, this.#caller, { id, token }, this.#options.recorder)
  }

  /** Closes its session and does without: what it submitted runs on, unwatched. */
  async #replaceSession(): Promise<void> {
    const { session } = this.#caller
    if (!session) return
    await this.#insist(node => this.#caller.closeSession(node, session.id))
    if (this.#random.chance(0.5)) await this.#caller.readSession(this.#caller.pick(), session.id)
    this.#forget()
  }

  async #touchSession(): Promise<void> {
    const { session } = this.#caller
    if (!session) return
    const revision = ++this.#revision
    await this.#insist(node => this.#caller.changeSession(node, session.id, revision))
    this.#notice(await this.#caller.readSession(this.#caller.pick(), session.id))
  }

  async #submitAndFollow(mode: 'async' | 'sync', keyed: boolean): Promise<void> {
    const statement = drawStatement(this.#random)
    const reply = await this.#submit(statement, mode, keyed)
    const query = reply.body?.query ?? reply.body
    if (typeof reply.status === 'number' && reply.status < 300 && query?.handle) await this.#follow(query)
    // Its handle is known though its answer was a refusal: what is accepted is followed.
    else if (reply.body?.handle) await this.#follow({ handle: reply.body.handle, version: 0, outcome: null })
  }

  async #submit(statement: Statement, mode: 'async' | 'sync', keyed: boolean): Promise<Reply> {
    const { recorder } = this.#options
    recorder.expect(statement)
    const key = keyed ? this.#nextKey() : null
    const onRecovery = this.#random.chance(0.12) ? 'fail' : this.#random.chance(0.1) ? 'rerun' : 'auto'
    const timeoutMs = this.#random.pick([500, 2000, 8000])
    const lane = this.#random.chance(0.2) ? 'heavy' : 'auto'
    const body = { sql: statement.sql, mode, onRecovery, lane, ...(mode === 'sync' ? { timeoutMs } : {}) }
    const ask = (node: NodeAddress) =>
      this.#caller.submit(node, { mode, key, statement: statement.name, onRecovery }, body)
    // Without a key a repetition would be another query.
    if (!keyed) return ask(this.#caller.pick())
    const reply = await this.#insist(ask)
    // As one who lost the answer would.
    return mode === 'async' && this.#random.chance(0.1) ? this.#insist(ask) : reply
  }

  async #follow(seen: { handle: string; version: number; outcome: string | null }): Promise<void> {
    const { handle } = seen
    const random = this.#random
    this.#keep(this.#options.known.handles, { handle, user: this.#options.user })
    this.#listener?.follow(handle)
    let { version, outcome } = seen
    let cancelAt = random.chance(0.12) ? performance.now() + random.between(0, 1500) : null
    let node = this.#caller.pick()
    for (const giveUpAt = performance.now() + endsWithinMs; outcome === null && performance.now() < giveUpAt; ) {
      if (cancelAt !== null && performance.now() >= cancelAt) {
        cancelAt = null
        await this.#insist(at => this.#caller.cancel(at, handle))
      }
      node = this.#caller.pick(node)
      const patient = random.chance(0.6)
      const reply = await this.#caller.poll(node, handle, patient ? version : null, 1000)
      if (reply.status === 200) {
        version = reply.body.version
        outcome = reply.body.outcome
        if (!patient && outcome === null) await setTimeout(random.between(30, 250))
      } else if (!this.#notice(reply)) return
      else await setTimeout(retryMs)
    }
    if (outcome !== 'SUCCESSFUL') return
    // Another node says the same from now on.
    if (random.chance(0.5)) await this.#caller.poll(this.#caller.pick(node), handle, null, 0)
    if (random.chance(0.5)) await this.#readRows(handle)
    if (random.chance(0.15)) await this.#insist(at => this.#caller.drop(at, handle))
  }

  /** False: there is no use in going on. */
  #notice({ status, body }: Reply): boolean {
    if (status === 'lost' || status === 200 || status >= 500) return true
    if (status !== 401) return false
    // Whoever answers so to a session that is open is found out by the checker.
    if (body?.code === 'SESSION_INVALID') this.#forget()
    return false
  }

  #forget(): void {
    this.#listener?.close('left')
    this.#listener = null
    this.#caller.session = null
  }

  async #readRows(handle: string): Promise<void> {
    const limit = this.#random.pick([50, 300, 2000])
    for (let offset: number | null = 0; offset !== null; ) {
      const from: number = offset
      const { status, body } = await this.#insist(node => this.#caller.rows(node, handle, from, limit))
      if (status !== 200) return
      offset = body.nextOffset
    }
  }

  async #submitWriting(): Promise<void> {
    const statement = { name: 'writing', sql: writing, rows: [] }
    const key = this.#nextKey()
    const specific = { mode: 'async', key, statement: statement.name, onRecovery: 'auto' } as const
    const { status, body } = await this.#insist(node => this.#caller.submit(node, specific, { sql: writing } as object))
    if (status === 202 || status === 200) await this.#follow(body)
  }

  async #intrude(): Promise<void> {
    const { known, user } = this.#options
    const foreign = <Of extends { readonly user: string }>(of: readonly Of[]): Of | undefined =>
      of.filter(one => one.user !== user).at(-1 - this.#random.below(5))
    const handle = foreign(known.handles)?.handle
    const session = foreign(known.sessions)?.id
    const node = this.#caller.pick()
    if (session && this.#random.chance(0.3)) await this.#caller.readSession(node, session)
    if (!handle) return
    await this.#random.pick([
      () => this.#caller.poll(node, handle, null, 0),
      () => this.#caller.rows(node, handle, 0, 10),
      () => this.#caller.cancel(node, handle),
      () => this.#caller.drop(node, handle),
      async () => this.#listener?.intrude(handle),
    ])()
  }

  async #list(): Promise<void> {
    this.#notice(await this.#caller.list(this.#caller.pick(), this.#random.pick([5, 20])))
  }

  /** More than may wait, all at once and spread over the nodes; what was accepted is cancelled, so that it is soon over. */
  async #burst(): Promise<void> {
    const { recorder } = this.#options
    const { session } = this.#caller
    const statement = sleeping(5000, 0)
    recorder.expect(statement)
    const round = this.#nextKey()
    await Promise.all(
      Array.from({ length: burst }, async (_, index) => {
        const caller = this.#another(`${round}/${index}`)
        caller.session = session
        const specific = { mode: 'async', key: null, statement: statement.name, onRecovery: 'auto' } as const
        const { status, body } = await caller.submit(caller.pick(), specific, {
          sql: statement.sql,
          lane: 'heavy',
        } as object)
        if (status !== 202) return
        const { handle } = body
        this.#listener?.follow(handle)
        await this.#insist(node => caller.cancel(node, handle))
      }),
    )
  }

  /** More sessions than a user may have, all at once; closed again. */
  async #openMany(): Promise<void> {
    const round = this.#nextKey()
    await Promise.all(
      Array.from({ length: burst }, async (_, index) => {
        const caller = this.#another(`${round}/${index}`)
        const key = `${round}/${index}`
        const { status, body } = await this.#insist(node => caller.openSession(node, key))
        if (status !== 201 && status !== 200) return
        caller.session = { id: body.id, token: body.token }
        await this.#insist(node => caller.closeSession(node, body.id))
      }),
    )
  }

  /** The same user at the same time elsewhere. */
  #another(name: string): Caller {
    const { client, user, nodes, random, recorder } = this.#options
    return new Caller(`${client}/${name}`, user, nodes, random.fork(name), recorder)
  }

  #nextKey(): string {
    return `${this.#options.client}-${this.#keys++}`
  }

  #keep<Of>(list: Of[], one: Of): void {
    list.push(one)
    if (list.length > knownMax) list.shift()
  }
}
