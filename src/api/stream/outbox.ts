/**
 * What waits to be sent to one socket. The cost is a write per socket, so all frames of one tick travel as one message.
 *
 *     push ─▶ waiting ──(end of the tick)──▶ socket ─▶ client
 *
 * Query frames are never left out: a reader who lets more than the limit pile up is told to come back (`overflow`).
 * A burst onto an empty socket may exceed the limit once, or a session with many queries could never be read at all.
 * Progress is merged per query while it waits, and dropped while the reader is behind.
 */
import { messageCharactersMax, progressBytesMax } from '../bounds.ts'

export interface OutboxSocket {
  /** Bytes taken but not yet given to the network. */
  readonly bufferedAmount: number
  send(text: string): void
}

export class Outbox {
  readonly #socket: OutboxSocket
  readonly #bytesMax: number
  readonly #overflow: () => void
  readonly #messageCharactersMax: number
  #frames: string[] = []
  #characters = 0
  readonly #progress = new Map<string, string>()
  #scheduled = false
  #closed = false

  /** Frames that are due at once share a message of up to so many characters; with 0 each is a message of its own. */
  constructor(socket: OutboxSocket, bytesMax: number, overflow: () => void, charactersMax = messageCharactersMax) {
    this.#socket = socket
    this.#bytesMax = bytesMax
    this.#overflow = overflow
    this.#messageCharactersMax = charactersMax
  }

  /** Never dropped. */
  push(text: string): void {
    if (this.#closed) return
    this.#frames.push(text)
    this.#characters += text.length
    const buffered = this.#socket.bufferedAmount
    if (buffered > 0 && buffered + this.#characters > this.#bytesMax) {
      this.close()
      this.#overflow()
      return
    }
    this.#schedule()
  }

  /** Replaces what waits under the same key. False when it was dropped. */
  pushProgress(key: string, text: string): boolean {
    if (this.#closed || this.#socket.bufferedAmount > progressBytesMax) return false
    this.#progress.set(key, text)
    this.#schedule()
    return true
  }

  /** Sends what waits, now. */
  flush(): void {
    const frames = [...this.#frames, ...this.#progress.values()]
    this.#frames = []
    this.#characters = 0
    this.#progress.clear()
    let first = 0
    while (first < frames.length) {
      let end = first + 1
      let characters = (frames[first] as string).length
      while (end < frames.length && characters + (frames[end] as string).length <= this.#messageCharactersMax)
        characters += (frames[end++] as string).length
      this.#socket.send(end - first === 1 ? (frames[first] as string) : `[${frames.slice(first, end).join(',')}]`)
      first = end
    }
  }

  /** Drops what waits; nothing is sent any more. */
  close(): void {
    this.#closed = true
    this.#frames = []
    this.#progress.clear()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      if (!this.#closed) this.flush()
    })
  }
}
