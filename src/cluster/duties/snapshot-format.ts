/** Lets snapshots be written in a newer version once the last member has left that does not read it. */
import type { ClusterStore } from '../../store/contract.ts'
import { Coalesced } from '../coalesced.ts'
import type { LeaderDuty, Term } from '../leader-duty.ts'
import type { MemberSnapshot, MemberWatch } from '../member-watch.ts'
import type { ClusterLog } from '../ports.ts'

export interface SnapshotFormatOptions {
  readonly store: Pick<ClusterStore, 'raiseSnapshotFormat'>
  readonly watch: MemberWatch
  readonly log: ClusterLog
}

export class SnapshotFormatDuty implements LeaderDuty {
  readonly #options: SnapshotFormatOptions
  readonly #raising: Coalesced
  #term: Term | undefined
  #endReading: (() => void) | undefined

  constructor(options: SnapshotFormatOptions) {
    this.#options = options
    this.#raising = new Coalesced(() => this.#raise())
  }

  start(term: Term): void {
    this.#term = term
    this.#endReading = this.#options.watch.onRead(snapshot => this.#judge(snapshot))
  }

  async stop(): Promise<void> {
    this.#term = undefined
    this.#endReading?.()
    this.#endReading = undefined
    await this.#raising.idle()
  }

  /** What was read may be old: the store decides by the rows. */
  #judge({ members, snapshotFormat }: MemberSnapshot): void {
    if (members.length === 0 || members.some(member => member.snapshotVersion <= snapshotFormat)) return
    this.#raising
      .run()
      .catch(error => this.#options.log.debug({ err: error }, 'the format of snapshots could not be raised yet'))
  }

  async #raise(): Promise<void> {
    const { store, watch, log } = this.#options
    const term = this.#term
    if (!term?.valid()) return
    const version = await store.raiseSnapshotFormat(term.number)
    if (version === null) return
    log.info(
      { version, term: term.number },
      'every member reads a newer version of snapshots: it is written from now on',
    )
    watch.hint()
  }
}
