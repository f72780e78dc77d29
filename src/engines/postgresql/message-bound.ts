/**
 * A message of the server that is too large is not read: the client library gathers each one whole and makes texts of it, and one
 * that is longer than the longest text would end this process, with all that it serves. A row is a message, and so is an error.
 */
import { EngineError } from '../contract.ts'

/** What is made of it as JSON, at most six times as long, still is a text. */
export const messageBytesMax = 64 * 1024 * 1024
/** The kind, one byte, and the length of what follows, its own four bytes with it. */
const headerBytes = 5

/** Follows the server's messages from the beginning of one. */
export class MessageBound {
  /** Of the message under way, still to come. */
  #left = 0
  readonly #header = Buffer.alloc(headerBytes)
  #headerUsed = 0

  /** Takes the next bytes; throws an `EngineError` when a message begins in them that is too large. */
  take(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at)
        this.#left -= taken
        at += taken
        continue
      }
      const taken = Math.min(headerBytes - this.#headerUsed, chunk.length - at)
      chunk.copy(this.#header, this.#headerUsed, at, at + taken)
      this.#headerUsed += taken
      at += taken
      if (this.#headerUsed < headerBytes) return
      this.#headerUsed = 0
      const bytes = this.#header.readUInt32BE(1) - 4
      if (bytes > messageBytesMax)
        throw new EngineError(
          'failed',
          `A row, or a message, of more than ${messageBytesMax} bytes is not taken from the server.`,
        )
      this.#left = bytes
    }
  }
}
