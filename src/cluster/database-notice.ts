/** Says once when the database stops answering the heartbeat, and once when it answers again. */
import type { BeatReport } from './beat-loop.ts'
import type { ClusterLog, CountUp } from './ports.ts'

export class DatabaseNotice {
  readonly #log: ClusterLog
  readonly #count: CountUp | undefined
  readonly #onReturn: () => void
  #answers = true

  constructor(log: ClusterLog, count: CountUp | undefined, onReturn: () => void) {
    this.#log = log
    this.#count = count
    this.#onReturn = onReturn
  }

  note({ outcome, databaseNowMs, error }: BeatReport): void {
    if (outcome === 'skipped') {
      this.#count?.('beatsSkipped')
      return
    }
    const answers = databaseNowMs !== null
    this.#count?.(answers ? 'beatsRenewed' : 'beatsFailed')
    if (answers === this.#answers) return
    this.#answers = answers
    if (answers) {
      this.#log.info({}, 'the database answers again')
      this.#onReturn()
    } else this.#log.warn({ err: error }, 'the database does not answer')
  }
}
