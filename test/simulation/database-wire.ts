/**
 * Between a process and the server: a connection whose requests and answers are events, with drawn latency, and with all that
 * can happen to them on their way.
 *
 *     process ──request──▶ (cut? delayed till healed) ──▶ server (down? stalled? fault?) ──▶ executes ──answer──▶ process
 *
 * A connection has one request under way. When nothing is heard of it for `silenceMs`, the process gives the connection up.
 */
import type { CancelTimer } from '../../src/async/index.ts'
import type { StatementKind } from './database-contract.ts'
import {
  connectionClosed,
  connectionLost,
  connectionRefused,
  connectionTimedOut,
  serverError,
} from './database-errors.ts'
import type { FaultList, Travelling } from './database-faults.ts'
import type { DatabaseServer, ServerAnswer, ServerConnection, ServerRequest } from './database-server.ts'
import type { SimulatedProcess } from './process.ts'
import type { SeededRandom } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** Milliseconds that one way takes, and a commit's flush; now and then ten times that. */
const wayMs = { from: 0.05, to: 0.4 }
const flushMs = { from: 0.1, to: 1.5 }
const slowChance = 0.01
const slowTimes = 10
/** What was lost on a cut line is sent again up to this long after it heals. */
const resendMs = 200

interface Pending {
  readonly request: ServerRequest
  readonly kind: StatementKind
  readonly resolve: (answer: ServerAnswer) => void
  readonly reject: (error: unknown) => void
  silence: CancelTimer | null
}

export class DatabaseWire {
  readonly scheduler: Scheduler
  readonly server: DatabaseServer
  readonly faults: FaultList
  readonly #random: SeededRandom
  readonly #connections = new Map<SimulatedProcess, Set<WireConnection>>()

  constructor(scheduler: Scheduler, server: DatabaseServer, faults: FaultList, random: SeededRandom) {
    this.scheduler = scheduler
    this.server = server
    this.faults = faults
    this.#random = random
  }

  /** Resolves with a connection of this process; rejects as mysql2 would after `connectMs` at the latest. */
  async connect(process: SimulatedProcess, names: readonly string[], connectMs: number, silenceMs: number) {
    let connections = this.#connections.get(process)
    if (!connections) {
      const own = new Set<WireConnection>()
      connections = own
      this.#connections.set(process, own)
      process.onCrash(() => {
        for (const connection of own) connection.crashed()
        this.#connections.delete(process)
      })
    }
    const of = connections
    const connection = new WireConnection(this, process, names, silenceMs, () => of.delete(connection))
    of.add(connection)
    await connection.connect(connectMs)
    return connection
  }

  /** Breaks what is connected; gives how many. */
  breakConnections(processes?: readonly string[]): number {
    const broken = [...this.server.connections].filter(
      ({ names }) => !processes || processes.some(name => names.includes(name)),
    )
    for (const connection of broken) this.server.end(connection)
    return broken.length
  }

  wayMs(): number {
    const { from, to } = wayMs
    return this.#random.between(from, to) * (this.#random.chance(slowChance) ? slowTimes : 1)
  }

  flushMs(): number {
    return this.#random.between(flushMs.from, flushMs.to)
  }

  resendMs(): number {
    return this.#random.between(0, resendMs)
  }
}

export class WireConnection {
  readonly names: readonly string[]
  /** The server's end; null before it is connected. */
  remote: ServerConnection | null = null
  /** This end is closed. */
  closed = false
  /** Told when this end is closed. */
  onClosed: () => void = () => undefined
  readonly #wire: DatabaseWire
  readonly #process: SimulatedProcess
  readonly #silenceMs: number
  readonly #gone: () => void
  #pending: Pending | null = null
  /** What was sent arrives in order. */
  #arrivesAtMs = 0
  /** What the server sent arrives in order. */
  #answeredAtMs = 0

  constructor(
    wire: DatabaseWire,
    process: SimulatedProcess,
    names: readonly string[],
    silenceMs: number,
    gone: () => void,
  ) {
    this.#wire = wire
    this.#process = process
    this.names = names
    this.#silenceMs = silenceMs
    this.#gone = gone
  }

  async connect(connectMs: number): Promise<void> {
    await this.#request({ type: 'begin' }, 'connect', connectMs)
  }

  send(request: ServerRequest): Promise<ServerAnswer> {
    if (this.closed) return Promise.reject(connectionClosed())
    if (this.#pending) return Promise.reject(new Error('a connection has one request under way'))
    return this.#request(request, this.#wire.server.kindOf(request), this.#silenceMs)
  }

  /** Closes this end; the server hears of it after what was sent before. */
  drop(): void {
    this.#close(connectionLost())
    this.#tellServer()
  }

  /** Its process is gone: the system closes the connection. */
  crashed(): void {
    if (this.closed) return
    this.closed = true
    this.#pending = null
    this.#tellServer()
  }

  #request(request: ServerRequest, kind: StatementKind, silenceMs: number): Promise<ServerAnswer> {
    return new Promise((resolve, reject) => {
      const pending: Pending = { request, kind, resolve, reject, silence: null }
      this.#pending = pending
      const { scheduler } = this.#wire
      const arriving = this.#arriving(pending, silenceMs)
      scheduler.schedule(
        arriving - scheduler.nowMs,
        `database ${kind}`,
        () => this.#arrive(pending, silenceMs, true),
        true,
      )
    })
  }

  /** When what is sent now arrives. */
  #arriving(pending: Pending | null, silenceMs: number): number {
    const { scheduler, faults } = this.#wire
    let atMs = Math.max(this.#arrivesAtMs, scheduler.nowMs + this.#wire.wayMs())
    const healedAtMs = faults.cutUntilMs(this.names)
    if (healedAtMs > scheduler.nowMs) {
      atMs = Math.max(atMs, healedAtMs + this.#wire.resendMs())
      if (pending) this.#expectSilence(pending, silenceMs)
    }
    this.#arrivesAtMs = atMs
    return atMs
  }

  /** From here on at the server. */
  #arrive(pending: Pending, silenceMs: number, first: boolean): void {
    const { scheduler, faults } = this.#wire
    if (this.remote?.ended) return
    if (faults.stalledUntilMs > scheduler.nowMs && faults.downUntilMs <= scheduler.nowMs) {
      this.#expectSilence(pending, silenceMs)
      this.#arriveAgain(pending, silenceMs, faults.stalledUntilMs - scheduler.nowMs, first)
      return
    }
    const fault = first ? faults.hitting(this.#travelling(pending)) : null
    switch (fault?.kind) {
      case 'deadlock':
        this.#refuse(pending, silenceMs, 1213, true)
        break
      case 'no-majority':
        this.#refuse(pending, silenceMs, 1047, true)
        break
      case 'lock-timeout':
        this.#refuse(pending, silenceMs, 1205, false)
        break
      case 'read-only':
        this.#refuse(pending, silenceMs, 1290, false)
        break
      case 'lost-before':
        this.#lose()
        break
      case 'request-late':
        this.#expectSilence(pending, silenceMs)
        this.#arriveAgain(pending, silenceMs, fault.delayMs ?? 0, false)
        break
      default:
        if (fault?.kind === 'answer-late') this.#expectSilence(pending, silenceMs)
        this.#execute(pending, silenceMs, fault?.kind === 'lost-after', fault?.delayMs ?? 0)
    }
  }

  #travelling({ request, kind }: Pending): Travelling {
    const writes = () =>
      kind === 'write' ||
      kind === 'beat' ||
      (kind === 'commit' && this.remote !== null && this.#wire.server.hasWritten(this.remote))
    return { processes: this.names, kind, sql: request.type === 'statement' ? request.sql : '', writes }
  }

  #refuse(pending: Pending, silenceMs: number, errno: number, undone: boolean): void {
    if (undone && this.remote) this.#wire.server.undo(this.remote)
    this.#answer(pending, silenceMs, 0, serverError(errno), null)
  }

  #execute(pending: Pending, silenceMs: number, lost: boolean, lateMs: number): void {
    const { server } = this.#wire
    if (pending.kind === 'connect') {
      this.#accept(pending, silenceMs, lost, lateMs)
      return
    }
    const flushMs = pending.kind === 'commit' ? this.#wire.flushMs() : 0
    server.execute(this.remote as ServerConnection, pending.request, (error, answer) => {
      if (lost) this.#lose()
      else this.#answer(pending, silenceMs, lateMs + flushMs, error, answer)
    })
  }

  #accept(pending: Pending, silenceMs: number, lost: boolean, lateMs: number): void {
    const { scheduler, faults, server } = this.#wire
    if (faults.downUntilMs > scheduler.nowMs) {
      this.#answer(pending, silenceMs, 0, connectionRefused(), null)
      return
    }
    // Given up meanwhile: the server would see its end at once.
    if (this.closed) return
    this.remote = server.connect(this.names)
    this.remote.onEnd = () => {
      this.#gone()
      if (!this.closed) this.#tellLost()
    }
    if (lost) this.#lose()
    else this.#answer(pending, silenceMs, lateMs, null, { rows: [], affected: 0 })
  }

  #arriveAgain(pending: Pending, silenceMs: number, delayMs: number, first: boolean): void {
    const { scheduler } = this.#wire
    const again = () => this.#arrive(pending, silenceMs, first)
    this.#arrivesAtMs = Math.max(this.#arrivesAtMs, scheduler.nowMs + delayMs)
    scheduler.schedule(delayMs, 'database late', again, true)
  }

  #answer(pending: Pending, silenceMs: number, lateMs: number, error: unknown, answer: ServerAnswer | null): void {
    const delayMs = this.#backMs(lateMs, pending, silenceMs)
    this.#process.schedule(delayMs, `answer ${pending.kind}`, () => {
      if (this.#pending !== pending) return
      pending.silence?.()
      this.#pending = null
      if (error !== null && pending.kind === 'connect') this.#close(error)
      if (error === null) pending.resolve(answer as ServerAnswer)
      else pending.reject(error)
    })
  }

  /** How long it takes until what the server sends now has come. */
  #backMs(lateMs: number, pending: Pending | null, silenceMs: number): number {
    const { scheduler, faults } = this.#wire
    let atMs = Math.max(this.#answeredAtMs, scheduler.nowMs + lateMs + this.#wire.wayMs())
    const healedAtMs = faults.cutUntilMs(this.names)
    if (healedAtMs > scheduler.nowMs) {
      atMs = Math.max(atMs, healedAtMs + this.#wire.resendMs())
      if (pending) this.#expectSilence(pending, silenceMs)
    }
    this.#answeredAtMs = atMs
    return atMs - scheduler.nowMs
  }

  /** The connection breaks, at both ends. */
  #lose(): void {
    if (this.remote) this.#wire.server.end(this.remote)
    else this.#tellLost()
  }

  /** The server's end is closed. */
  #tellLost(): void {
    const pending = this.#pending
    const delayMs = this.#backMs(0, pending, this.#silenceMs)
    this.#process.schedule(delayMs, 'connection lost', () => this.#close(connectionLost()))
  }

  #tellServer(): void {
    const { scheduler, server } = this.#wire
    const atMs = this.#arriving(null, 0)
    scheduler.schedule(
      atMs - scheduler.nowMs,
      'connection closed',
      () => {
        if (this.remote) server.end(this.remote)
        this.#gone()
      },
      true,
    )
  }

  /** Waits no longer than this for the answer. */
  #expectSilence(pending: Pending, silenceMs: number): void {
    if (pending.silence || this.#pending !== pending) return
    pending.silence = this.#process.schedule(silenceMs, 'silence', () => {
      if (this.#pending !== pending) return
      this.#close(pending.kind === 'connect' ? connectionTimedOut() : connectionLost())
      this.#tellServer()
    })
  }

  #close(error: unknown): void {
    if (this.closed) return
    this.closed = true
    if (!this.remote) this.#gone()
    const pending = this.#pending
    this.#pending = null
    pending?.silence?.()
    pending?.reject(error)
    this.onClosed()
  }
}
