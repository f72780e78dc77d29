/**
 * A client of a simulated world: one user, who asks any node, loses connections, comes back with the same key or the version
 * that was seen last, and tells the history all of it.
 */
import { isFinished, LensError, type QueryView } from '../../src/domain/index.ts'
import type { Gateway, Principal, SubmitOutcome, SubmitRequest, Subscription } from '../../src/gateway/contract.ts'
import type { History, QueryRecord, SessionRecord } from './history.ts'
import { ConnectionLost, type Network } from './network.ts'
import type { SimulatedProcess } from './process.ts'
import type { SeededRandom } from './random.ts'
import type { SimulatedNode } from './simulated-node.ts'

export interface ClientWorld {
  readonly network: Network
  readonly nodes: readonly SimulatedNode[]
  readonly history: History
}

const requestTimeoutMs = 20_000
/** How often a client tries again before it gives up. */
const triesMax = 60

/** What a call came to when it was not answered as wished: refused for good, or given up. */
export class GivenUp extends Error {}

export class Client {
  readonly user: string
  readonly process: SimulatedProcess
  readonly history: History
  readonly sessions: SessionRecord[] = []
  readonly #world: ClientWorld

  constructor(world: ClientWorld, process: SimulatedProcess, user: string) {
    this.#world = world
    this.history = world.history
    this.process = process
    this.user = user
  }

  sleep(delayMs: number): Promise<void> {
    return this.process.clock.sleep(delayMs)
  }

  node(random: SeededRandom): SimulatedNode {
    return random.pick(this.#world.nodes)
  }

  /** One request to one node. */
  ask<T>(node: SimulatedNode, work: (gateway: Gateway) => Promise<T>, timeoutMs = requestTimeoutMs): Promise<T> {
    return this.#world.network.call(this.process, node.address, timeoutMs, async () => {
      const { life } = node
      if (!life) throw new LensError('NODE_STOPPING', 'The process is ending.')
      life.requests++
      try {
        return await work(life.gateway)
      } finally {
        life.requests--
      }
    })
  }

  /**
   * A request that may be repeated: on any node, until one answers. Throws `GivenUp` when the answer is no, or when there was none
   * for too long.
   */
  async insist<T>(
    random: SeededRandom,
    asked: string,
    facts: { session: SessionRecord; record?: QueryRecord; mayEnd?: boolean; refusals?: readonly string[] },
    work: (gateway: Gateway, principal: Principal) => Promise<T>,
  ): Promise<T> {
    for (let tries = 0; tries < triesMax; tries++) {
      const { session } = facts
      const wasClosed = session.closeAnswered
      const sentAtMs = this.process.clock.monotonic()
      try {
        const answer = await this.ask(this.node(random), async gateway =>
          work(gateway, await gateway.authenticate(session.token)),
        )
        if (wasClosed) this.history.sawClosedServed(session, asked)
        this.history.sawUse(session, sentAtMs)
        return answer
      } catch (error) {
        if (error instanceof LensError && facts.refusals?.includes(error.code)) throw new GivenUp(error.code)
        if (!(error instanceof ConnectionLost) && !this.history.sawError(error, asked, facts))
          throw new GivenUp(`${asked}: ${error}`)
      }
      await this.sleep(random.between(50, 1_500))
    }
    this.history.count('given up')
    throw new GivenUp(asked)
  }

  // ------------------------------------------------------------ sessions

  /** One that is open, as far as this client knows; opens one when there is none. */
  async session(random: SeededRandom): Promise<SessionRecord> {
    const open = this.sessions.filter(session => !session.closeAsked)
    if (open.length > 0 && !(open.length < 3 && random.chance(0.05))) return random.pick(open)
    return this.open(random)
  }

  async open(random: SeededRandom): Promise<SessionRecord> {
    const key = random.chance(0.7) ? `session-${random.uuid()}` : null
    for (let tries = 0; tries < triesMax; tries++) {
      const sentAtMs = this.process.clock.monotonic()
      try {
        const { session, token } = await this.ask(this.node(random), gateway =>
          gateway.openSession({ user: this.user }, key),
        )
        if (session.user !== this.user) this.history.violated('I11', `a session of ${session.user} for ${this.user}`)
        const known = this.sessions.find(({ id }) => id === session.id)
        if (known) return known
        const record: SessionRecord = {
          ...{ id: session.id, user: this.user, token, usedAtMs: sentAtMs },
          ...{ closeAsked: false, closeAnswered: false, endsQueries: false },
        }
        this.sessions.push(record)
        this.history.count('sessions')
        return record
      } catch (error) {
        if (!(error instanceof ConnectionLost) && !this.history.sawError(error, 'open', {})) throw new GivenUp('open')
      }
      await this.sleep(random.between(50, 1_500))
    }
    throw new GivenUp('open')
  }

  async close(random: SeededRandom, session: SessionRecord, cancelQueries: boolean): Promise<void> {
    session.closeAsked = true
    if (cancelQueries) session.endsQueries = true
    await this.insist(random, 'close', { session, refusals: ['SESSION_INVALID'] }, (gateway, principal) =>
      gateway.closeSession(principal, session.id, cancelQueries),
    ).catch(error => {
      if (!(error instanceof GivenUp) || error.message !== 'SESSION_INVALID') throw error
    })
    session.closeAnswered = true
  }

  // ------------------------------------------------------------ queries

  /** Null: refused, or it will never be known whether it was accepted. */
  async submit(random: SeededRandom, session: SessionRecord, request: SubmitRequest): Promise<QueryRecord | null> {
    const key =
      request.mode === 'sync'
        ? random.chance(0.6)
          ? `query-${random.uuid()}`
          : null
        : random.chance(0.5)
          ? `query-${random.uuid()}`
          : null
    for (let tries = 0; tries < triesMax; tries++) {
      const wasClosed = session.closeAnswered
      try {
        const outcome = await this.ask(
          this.node(random),
          async gateway => {
            const principal = await gateway.authenticate(session.token)
            return gateway.submit(principal, request, key, new AbortController().signal)
          },
          (request.timeoutMs ?? 0) + requestTimeoutMs,
        )
        if (wasClosed) this.history.sawClosedServed(session, 'submit')
        return this.#accepted(outcome, session, request, key !== null)
      } catch (error) {
        if (error instanceof ConnectionLost) {
          if (key === null && error.begun) {
            this.history.unknown++
            return null
          }
        } else {
          const again = this.history.sawError(error, 'submit', { session })
          if (!again) return null
          const { code, retryable } = error as LensError
          if (key === null && (code === 'STORE_UNAVAILABLE' || (code === 'NODE_STOPPING' && !retryable))) {
            this.history.unknown++
            return null
          }
        }
      }
      await this.sleep(random.between(50, 1_500))
    }
    return null
  }

  #accepted(outcome: SubmitOutcome, session: SessionRecord, request: SubmitRequest, keyed: boolean): QueryRecord {
    const record = this.history.accepted(outcome.query, session, request, keyed)
    if (outcome.kind === 'ended' && outcome.rows) {
      this.history.sawRows(record, 0, outcome.rows)
      if (outcome.nextOffset === null) this.history.sawAllRows(record, outcome.rows.length)
    }
    return record
  }

  /** Polls nodes by chance, shortly or long, until it has ended. */
  async pollUntilEnd(random: SeededRandom, record: QueryRecord): Promise<void> {
    let own = 0
    for (let polls = 0; polls < 400; polls++) {
      const view = await this.look(random, record, random.chance(0.5) ? { after: own, waitMs: 4_000 } : null)
      own = view.version
      if (isFinished(view.status)) return
      await this.sleep(random.between(100, 3_000))
    }
    this.history.count('given up')
  }

  async look(
    random: SeededRandom,
    record: QueryRecord,
    wait: { after: number; waitMs: number } | null = null,
  ): Promise<QueryView> {
    const { session } = record
    for (let tries = 0; tries < triesMax; tries++) {
      const atLeast = record.seen.version
      const wasClosed = session.closeAnswered
      const token = session.closeAsked ? (await this.session(random)).token : session.token
      try {
        const view = await this.ask(this.node(random), gateway =>
          gateway.poll(token, record.handle, wait, new AbortController().signal),
        )
        if (wasClosed && token === session.token) this.history.sawClosedServed(session, 'poll')
        this.history.count('polls')
        this.history.sawView(record, view, atLeast)
        return view
      } catch (error) {
        const invalid = error instanceof LensError && error.code === 'SESSION_INVALID' && this.#closing(token)
        if (!invalid && !(error instanceof ConnectionLost)) {
          const own = this.sessions.find(known => known.token === token)
          if (!this.history.sawError(error, 'poll', { session: own ?? session, record })) throw new GivenUp('poll')
        }
      }
      await this.sleep(random.between(50, 1_500))
    }
    throw new GivenUp('poll')
  }

  #closing(token: string): boolean {
    return this.sessions.some(session => session.token === token && session.closeAsked)
  }

  async cancel(random: SeededRandom, record: QueryRecord): Promise<void> {
    record.cancelAsked = true
    const { query, finished } = await this.insist(
      random,
      'cancel',
      { session: record.session, record },
      (gateway, principal) => gateway.cancel(principal, record.handle),
    )
    this.history.sawView(record, query, 0)
    if (!finished) record.cancelAnswered = true
    this.history.count('cancels')
  }

  /** All rows, page after page, each from a node by chance. */
  async readRows(random: SeededRandom, record: QueryRecord): Promise<void> {
    let offset = 0
    const limit = 1 + random.below(8)
    for (;;) {
      const mayEnd = record.seen.status === 'SUCCESSFUL' && !record.dropAsked
      const from = offset
      const page = await this.insist(
        random,
        'rows',
        { session: record.session, record, mayEnd },
        (gateway, principal) => gateway.rows(principal, record.handle, from, limit),
      )
      this.history.sawRows(record, offset, page.rows)
      this.history.count('pages')
      offset += page.rows.length
      if (page.nextOffset === null) break
      if (page.nextOffset !== offset)
        this.history.violated('I6', `${record.handle}: after ${offset} rows the next are from ${page.nextOffset}`)
    }
    this.history.sawAllRows(record, offset)
  }

  async drop(random: SeededRandom, record: QueryRecord): Promise<void> {
    record.dropAsked = true
    await this.insist(random, 'drop', { session: record.session, record }, (gateway, principal) =>
      gateway.dropResult(principal, record.handle),
    )
    record.dropAnswered = true
  }

  // ------------------------------------------------------------ subscriptions

  /** Follows a query by its frames, on one node after the other, until it has ended. */
  async follow(random: SeededRandom, record: QueryRecord): Promise<void> {
    let after: number | null = null
    for (let tries = 0; tries < triesMax; tries++) {
      const { ended, version } = await this.#subscribe(random, record, after)
      after = version
      if (ended) return
      await this.sleep(random.between(20, 500))
    }
    this.history.count('given up')
  }

  /** Resolves when the query has ended, or the subscription is over or silent. */
  async #subscribe(
    random: SeededRandom,
    record: QueryRecord,
    from: number | null,
  ): Promise<{ ended: boolean; version: number | null }> {
    const { session, handle } = record
    const { clock } = this.process
    let version = from
    let over: (ended: boolean) => void = () => undefined
    const done = new Promise<boolean>(resolve => {
      over = resolve
    })
    let isOver = false
    void done.then(() => {
      isOver = true
    })
    const stream = this.process.stream()
    const { network } = this.#world
    let cancelSilence = clock.after(15_000, () => over(false))
    const node = this.node(random)
    const opened: { subscription?: Subscription } = {}
    try {
      await this.ask(node, async gateway => {
        const { life } = node
        const principal = await gateway.authenticate(session.token)
        life?.process.onCrash(() => stream.push(network.latencyMs(), 'closed', () => over(false)))
        opened.subscription = gateway.subscribe(
          principal,
          { topic: 'query', handle, ...(from === null ? {} : { after: from }) },
          {
            frame: (frame, text) => {
              if (frame.type !== 'query' || text === null) return
              stream.push(network.latencyMs(), 'frame', () => {
                if (isOver) return
                const view = JSON.parse(text) as QueryView
                version = this.history.sawFrame(record, view, version)
                this.history.count('frames')
                cancelSilence()
                cancelSilence = clock.after(15_000, () => over(false))
                if (isFinished(view.status)) over(true)
              })
            },
            ended: () => stream.push(network.latencyMs(), 'ended', () => over(false)),
          },
        )
        await opened.subscription.ready
      })
      const ended = await done
      return { ended, version }
    } catch (error) {
      if (!(error instanceof ConnectionLost) && !this.history.sawError(error, 'subscribe', { session, record }))
        return { ended: true, version }
      return { ended: false, version }
    } finally {
      isOver = true
      cancelSilence()
      const { subscription } = opened
      // Its connection ends, and the node hears of it.
      if (subscription) void this.ask(node, async () => subscription.close()).catch(() => undefined)
    }
  }
}
