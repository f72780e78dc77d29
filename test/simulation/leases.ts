/** The heartbeat's small store on a simulated server: a connection of its own, given up with every attempt that fails. */
import type { LeaseStore } from '../../src/store/contract.ts'
import type { Beat } from './database-server.ts'
import type { DatabaseWire, WireConnection } from './database-wire.ts'
import type { SimulatedProcess } from './process.ts'

type Renewal = Awaited<ReturnType<LeaseStore['renew']>>

export class SimulatedLeases implements LeaseStore {
  readonly #wire: DatabaseWire
  readonly #process: SimulatedProcess
  readonly #names: readonly string[]
  readonly #attemptMs: number
  #connection: WireConnection | undefined
  /** Grows whenever the connection is given up: one that comes after that is of no use. */
  #attempts = 0

  constructor(wire: DatabaseWire, process: SimulatedProcess, names: readonly string[], attemptMs: number) {
    this.#wire = wire
    this.#process = process
    this.#names = names
    this.#attemptMs = attemptMs
  }

  async renew(beat: Beat): Promise<Renewal> {
    const late = Promise.withResolvers<never>()
    const cancel = this.#process.clock.after(this.#attemptMs, () => {
      this.#drop()
      late.reject(new Error(`the database did not answer within ${this.#attemptMs} ms`))
    })
    const work = this.#renew(beat)
    work.catch(() => undefined)
    try {
      return await Promise.race([work, late.promise])
    } finally {
      cancel()
    }
  }

  async #renew(beat: Beat): Promise<Renewal> {
    const attempt = this.#attempts
    try {
      const connection = this.#connection ?? (await this.#connect(attempt))
      const { rows } = await connection.send({ type: 'beat', beat })
      return rows[0] as Renewal
    } catch (error) {
      if (attempt === this.#attempts) this.#drop()
      throw error
    }
  }

  async #connect(attempt: number): Promise<WireConnection> {
    const connection = await this.#wire.connect(this.#process, this.#names, this.#attemptMs, this.#attemptMs)
    if (attempt !== this.#attempts) {
      connection.drop()
      throw new Error('given up')
    }
    this.#connection = connection
    return connection
  }

  #drop(): void {
    this.#attempts++
    this.#connection?.drop()
    this.#connection = undefined
  }

  async close(): Promise<void> {
    this.#drop()
  }
}
