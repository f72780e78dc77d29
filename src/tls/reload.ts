/**
 * Looks for certificates that were replaced on disk, so that a node takes them without a restart: every few seconds, when their
 * folders change, and when asked. Looking again and again is what counts: changes behind symbolic links, as Kubernetes
 * makes them, and on network file systems are not told of everywhere.
 */
import { type FSWatcher, watch } from 'node:fs'
import { dirname } from 'node:path'
import type { CancelTimer, Clock, Service } from '../async/index.ts'
import type { HeldCredentials } from './credentials.ts'

export interface WatchedCredentials {
  /** What they are for, in log and metrics. */
  readonly use: 'listener' | 'peers' | 'store'
  readonly held: HeldCredentials
  /** They were replaced: tells whoever does not ask for them with each connection. */
  readonly onTaken?: () => void
}

export interface ReloadOptions {
  readonly watched: readonly WatchedCredentials[]
  readonly reloadMs: number
  readonly clock: Clock
  readonly log: {
    info(fields: object, message: string): void
    warn(fields: object, message: string): void
  }
  /** `endsAtMs`: the end of validity in Unix time; null where there are only authorities. */
  readonly onLook?: (use: WatchedCredentials['use'], outcome: 'taken' | 'refused', endsAtMs: number | null) => void
}

/** A folder that changes is looked into after a moment: who replaces two files does so one after the other. */
const settleMs = 100

export class CredentialsReload implements Service {
  readonly #options: ReloadOptions
  #cancelLooks: CancelTimer | undefined
  #cancelSettled: CancelTimer | undefined
  #folders: FSWatcher[] = []

  constructor(options: ReloadOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const { watched, reloadMs, clock, onLook } = this.#options
    if (this.#cancelLooks || watched.length === 0) return
    for (const one of watched) {
      this.#warnOfEnd(one)
      onLook?.(one.use, 'taken', one.held.endsAtMs)
    }
    this.#cancelLooks = clock.every(reloadMs, () => this.look())
    const files = watched.flatMap(({ held }) => Object.values(held.files) as (string | undefined)[])
    const folders = new Set(files.filter(file => file !== undefined).map(file => dirname(file)))
    this.#folders = [...folders].flatMap(folder => this.#watchFolder(folder))
  }

  async stop(): Promise<void> {
    this.#cancelLooks?.()
    this.#cancelSettled?.()
    for (const folder of this.#folders) folder.close()
    this.#folders = []
  }

  /** Takes what has changed, now. */
  look(): void {
    const { watched, log, onLook } = this.#options
    for (const one of watched) {
      const { use, held, onTaken } = one
      try {
        if (held.renew() === 'kept') continue
        onTaken?.()
        const ends = held.endsAtMs === null ? {} : { validUntil: new Date(held.endsAtMs).toISOString() }
        log.info({ use, ...ends }, 'took the certificates that were replaced')
        this.#warnOfEnd(one)
        onLook?.(use, 'taken', held.endsAtMs)
      } catch (error) {
        log.warn({ use, err: error }, 'the certificates on disk cannot be taken: those before them stay in use')
        onLook?.(use, 'refused', held.endsAtMs)
      }
    }
  }

  #warnOfEnd({ use, held }: WatchedCredentials): void {
    const { clock, log } = this.#options
    if (held.endsAtMs !== null && held.endsAtMs < clock.now())
      log.warn(
        { use, validUntil: new Date(held.endsAtMs).toISOString(), files: held.files },
        'the certificate has ended: nobody who verifies it connects',
      )
  }

  #watchFolder(folder: string): FSWatcher[] {
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#lookSoon())
      watcher.on('error', () => watcher.close())
      return [watcher]
    } catch {
      // No more watches to be had on this machine: it is looked at regularly anyhow.
      return []
    }
  }

  #lookSoon(): void {
    this.#cancelSettled?.()
    this.#cancelSettled = this.#options.clock.after(settleMs, () => this.look())
  }
}
