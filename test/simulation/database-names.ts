/** The server's named locks (`GET_LOCK`): one holder each, who waits waits a second, and the end of a connection is the end of its locks. */
import type { CancelTimer } from '../../src/async/index.ts'
import type { Scheduler } from './scheduler.ts'

interface NameWaiter<Connection> {
  readonly connection: Connection
  readonly name: string
  readonly got: (got: 0 | 1) => void
  readonly cancel: CancelTimer
}

export class NamedLocks<Connection> {
  readonly #scheduler: Scheduler
  readonly #waitMs: number
  readonly #holders = new Map<string, Connection>()
  readonly #waiters = new Set<NameWaiter<Connection>>()

  constructor(scheduler: Scheduler, waitMs: number) {
    this.#scheduler = scheduler
    this.#waitMs = waitMs
  }

  /** `got` is told 1 once the name is this connection's, or 0 after the wait. */
  take(connection: Connection, name: string, got: (got: 0 | 1) => void): void {
    const holder = this.#holders.get(name)
    if (holder === undefined || holder === connection) {
      this.#holders.set(name, connection)
      got(1)
      return
    }
    const late = () => {
      this.#waiters.delete(waiter)
      got(0)
    }
    const cancel = this.#scheduler.schedule(this.#waitMs, 'name wait', late, true)
    const waiter = { connection, name, got, cancel }
    this.#waiters.add(waiter)
  }

  /** Whether the connection had the name. */
  release(connection: Connection, name: string): boolean {
    if (this.#holders.get(name) !== connection) return false
    this.#holders.delete(name)
    for (const waiter of this.#waiters)
      if (waiter.name === name) {
        this.#forget(waiter)
        this.#holders.set(name, waiter.connection)
        waiter.got(1)
        break
      }
    return true
  }

  /** The connection has ended. */
  ended(connection: Connection): void {
    for (const waiter of this.#waiters) if (waiter.connection === connection) this.#forget(waiter)
    for (const [name, holder] of [...this.#holders]) if (holder === connection) this.release(connection, name)
  }

  #forget(waiter: NameWaiter<Connection>): void {
    waiter.cancel()
    this.#waiters.delete(waiter)
  }
}
