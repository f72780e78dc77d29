/**
 * The network of a simulated world: who listens where, how long the way takes, and what does not arrive. Peers, probes and
 * clients all travel here, so a cut is a cut for all that goes that way.
 *
 *     listening ──crash of its process──▶ refused          ──crash of its machine──▶ silent
 */
import type { NodeIdentity, Probe, ProbeAnswer } from '../../src/cluster/index.ts'
import type { SimulatedBus } from './bus.ts'
import type { SimulatedProcess } from './process.ts'
import type { SeededRandom } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** What a process shows to the network. */
export interface Listener {
  readonly process: SimulatedProcess
  readonly identity: () => NodeIdentity
  readonly bus: () => SimulatedBus | null
}

interface Cut {
  readonly from: string
  readonly to: string
}

export class Network {
  readonly #scheduler: Scheduler
  readonly #random: SeededRandom
  readonly #listeners = new Map<string, Listener>()
  /** Addresses whose machine is gone: nobody even refuses. */
  readonly #vanished = new Set<string>()
  readonly #cuts = new Set<Cut>()
  #lossChance = 0
  #slowMs = 0

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler
    this.#random = scheduler.random.fork('network')
  }

  // ------------------------------------------------------------ what is broken

  /** Nothing passes from the one address to the other for this time. */
  cut(from: string, to: string, forMs: number): void {
    const cut = { from, to }
    this.#cuts.add(cut)
    this.#scheduler.schedule(forMs, 'network', () => this.#cuts.delete(cut), true)
  }

  /** Messages of peers get lost with this chance. */
  lose(chance: number, forMs: number): void {
    this.#lossChance = chance
    this.#scheduler.schedule(
      forMs,
      'network',
      () => {
        this.#lossChance = 0
      },
      true,
    )
  }

  /** Every way takes up to this much longer. */
  slowDown(byMs: number, forMs: number): void {
    this.#slowMs = byMs
    this.#scheduler.schedule(
      forMs,
      'network',
      () => {
        this.#slowMs = 0
      },
      true,
    )
  }

  /** All that was broken is whole again. Machines that are gone come back with their next process. */
  heal(): void {
    this.#cuts.clear()
    this.#lossChance = 0
    this.#slowMs = 0
  }

  passes(from: string, to: string): boolean {
    if (this.#vanished.has(from) || this.#vanished.has(to)) return false
    for (const cut of this.#cuts) if (cut.from === from && cut.to === to) return false
    return true
  }

  loses(): boolean {
    return this.#lossChance > 0 && this.#random.chance(this.#lossChance)
  }

  /** Mostly a fraction of a millisecond, rarely much more. */
  latencyMs(): number {
    const base = this.#random.chance(0.01) ? this.#random.between(1, 30) : this.#random.between(0.1, 1.5)
    return base + (this.#slowMs > 0 ? this.#random.between(0, this.#slowMs) : 0)
  }

  // ------------------------------------------------------------ who is there

  listen(address: string, listener: Listener): void {
    this.#vanished.delete(address)
    this.#listeners.set(address, listener)
    listener.process.onCrash(() => {
      if (this.#listeners.get(address) === listener) this.#listeners.delete(address)
    })
  }

  /** It accepts nobody any more. */
  close(address: string, listener: Listener): void {
    if (this.#listeners.get(address) === listener) this.#listeners.delete(address)
  }

  /** The machine goes with its process: nothing answers there until something listens again. */
  vanish(address: string): void {
    this.#vanished.add(address)
  }

  listenerAt(address: string): Listener | undefined {
    return this.#listeners.get(address)
  }

  /** One event of the world, a way later. */
  atNetwork(task: () => void): void {
    this.#scheduler.schedule(this.latencyMs(), 'network', task, true)
  }

  // ------------------------------------------------------------ probes

  probeFrom(process: SimulatedProcess, own: string, probeMs: number): Probe {
    return address =>
      new Promise<ProbeAnswer>(resolve => {
        const cancel = process.clock.after(probeMs, () => resolve({ kind: 'silent', why: 'no answer' }))
        const answer = (given: ProbeAnswer) => {
          if (address !== own && !this.passes(address, own)) return
          process.schedule(this.latencyMs(), 'probe', () => {
            cancel()
            resolve(given)
          })
        }
        if (address !== own && !this.passes(own, address)) return
        this.atNetwork(() => {
          const listener = this.#listeners.get(address)
          if (!listener) {
            if (!this.#vanished.has(address)) answer({ kind: 'refused' })
            return
          }
          listener.process.schedule(0, 'probe', () => answer({ kind: 'identity', identity: listener.identity() }))
        })
      })
  }

  // ------------------------------------------------------------ clients

  /**
   * A request of a client: runs `work` in the process that listens, and gives its answer. Rejects with `ConnectionLost` when the
   * connection breaks, which says nothing of what was done, unless `begun` is false.
   */
  call<T>(client: SimulatedProcess, address: string, timeoutMs: number, work: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let over = false
      const settle = (settled: () => void) => {
        if (over) return
        over = true
        cancel()
        settled()
      }
      const back = (settled: () => void) => client.schedule(this.latencyMs(), 'answer', () => settle(settled))
      const cancel = client.clock.after(timeoutMs, () => settle(() => reject(new ConnectionLost('no answer', true))))
      this.atNetwork(() => {
        const listener = this.#listeners.get(address)
        if (!listener) {
          if (!this.#vanished.has(address)) back(() => reject(new ConnectionLost('refused', false)))
          return
        }
        const { process } = listener
        process.onCrash(() => {
          if (!over && !this.#vanished.has(address)) back(() => reject(new ConnectionLost('closed', true)))
        })
        process.schedule(0, 'request', () => {
          work().then(
            answer => back(() => resolve(answer)),
            error => back(() => reject(error)),
          )
        })
      })
    })
  }
}

export class ConnectionLost extends Error {
  /** The request may have been executed. */
  readonly begun: boolean
  constructor(why: string, begun: boolean) {
    super(`the connection was lost: ${why}`)
    this.begun = begun
  }
}
