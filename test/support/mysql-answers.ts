/**
 * What a MySQL server says to one request, read from the wire. A request may be several statements, each with an answer of its
 * own, which may arrive one by one: it is answered with the last of them, or with the first error.
 */

export type Answer =
  | { readonly kind: 'ok'; readonly affectedRows: number }
  | { readonly kind: 'error'; readonly code: number }
  | { readonly kind: 'rows' }

const headerBytes = 4
/** Flag of an OK: another answer follows. */
const moreResults = 8

export class AnswerReader {
  /** By statement, those that have arrived. After one that has rows no more are read. */
  readonly answers: Answer[] = []
  /** All that there will be is here. */
  complete = false
  #unparsed: Buffer = Buffer.alloc(0)

  read(data: Buffer): void {
    if (this.complete) return
    this.#unparsed = Buffer.concat([this.#unparsed, data])
    while (!this.complete && this.#unparsed.length > headerBytes) {
      const end = headerBytes + this.#unparsed.readUIntLE(0, 3)
      if (this.#unparsed.length < end) return
      this.#take(this.#unparsed.subarray(headerBytes, end))
      this.#unparsed = this.#unparsed.subarray(end)
    }
  }

  #take(packet: Buffer): void {
    const kind = packet[0]
    this.complete = true
    if (kind === 0xff) this.answers.push({ kind: 'error', code: packet.readUInt16LE(1) })
    else if (kind !== 0) this.answers.push({ kind: 'rows' })
    else {
      const affectedRows = integerAt(packet, 1)
      const insertId = integerAt(packet, affectedRows.end)
      this.answers.push({ kind: 'ok', affectedRows: affectedRows.value })
      this.complete = (packet.readUInt16LE(insertId.end) & moreResults) === 0
    }
  }
}

/** An integer of the protocol, of one to nine bytes. */
function integerAt(packet: Buffer, at: number): { readonly value: number; readonly end: number } {
  const first = packet[at] as number
  if (first < 0xfb) return { value: first, end: at + 1 }
  const bytes = first === 0xfc ? 2 : first === 0xfd ? 3 : 8
  return { value: packet.readUIntLE(at + 1, Math.min(bytes, 6)), end: at + 1 + bytes }
}
