/**
 * Messages to the process at the other end of a channel, those of one turn of the loop together: each write wakes the other
 * process, which costs both of them more than the message itself, and many statements begin and end in the same turn.
 */
import type { Clock } from '../../async/index.ts'

export class Mailbag<Message> {
  readonly #write: (messages: readonly Message[]) => void
  readonly #clock: Pick<Clock, 'soon'>
  #waiting: Message[] = []

  constructor(write: (messages: readonly Message[]) => void, clock: Pick<Clock, 'soon'>) {
    this.#write = write
    this.#clock = clock
  }

  /** To be written at the end of this turn. */
  post(message: Message): void {
    if (this.#waiting.push(message) === 1) this.#clock.soon(() => this.flush())
  }

  /** At once: for last words. */
  flush(): void {
    if (this.#waiting.length === 0) return
    const messages = this.#waiting
    this.#waiting = []
    this.#write(messages)
  }
}
