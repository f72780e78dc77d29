/**
 * Notices that this node reaches neither the database nor any peer for so long that others have surely taken over: then
 * nothing it still runs on an engine is of use to anyone. A node that knows no other member has nobody who could take over.
 */
import type { CancelTimer, Clock } from '../async/index.ts'
import type { ClusterLog } from './ports.ts'
import type { ClusterPeriods } from './settings.ts'

export interface IsolationOptions {
  readonly clock: Clock
  readonly periods: Pick<ClusterPeriods, 'cutOffMs' | 'heartbeatMs'>
  readonly log: ClusterLog
  /** Monotonic times of the last answer of the database and of the last sign of any peer; null: none yet. */
  readonly databaseHeardAtMs: () => number | null
  readonly peersHeardAtMs: () => number | null
  readonly hasPeers: () => boolean
  readonly onCutOff: () => void
}

export class Isolation {
  readonly #options: IsolationOptions
  #cancel: CancelTimer | undefined
  #told = false

  constructor(options: IsolationOptions) {
    this.#options = options
  }

  start(): void {
    this.#cancel ??= this.#options.clock.every(this.#options.periods.heartbeatMs, () => this.#look())
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }

  #look(): void {
    const { clock, periods, log, databaseHeardAtMs, peersHeardAtMs, hasPeers, onCutOff } = this.#options
    const heardAtMs = Math.max(databaseHeardAtMs() ?? 0, peersHeardAtMs() ?? 0)
    const silentMs = clock.monotonic() - heardAtMs
    if (silentMs < periods.cutOffMs) this.#told = false
    else if (!this.#told && hasPeers() && databaseHeardAtMs() !== null) {
      this.#told = true
      log.error({ silentMs }, 'neither the database nor any peer answers: what runs here is ended')
      onCutOff()
    }
  }
}
