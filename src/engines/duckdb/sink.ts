/** Bytes of JSON text being written: one growing buffer, handed over whole, and the number formats that rows consist of. */

const twoDigits = new Uint8Array(200)
for (let value = 0; value < 100; value++) {
  twoDigits[value * 2] = 48 + Math.floor(value / 10)
  twoDigits[value * 2 + 1] = 48 + (value % 10)
}
const quote = 34
const backslash = 92
const hexDigits = Buffer.from('0123456789abcdef')

export class TextSink {
  bytes: Buffer
  position = 0

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size)
  }

  /** Room for `size` more bytes. */
  reserve(size: number): void {
    if (this.position + size <= this.bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.position + size))
    this.bytes.copy(larger, 0, 0, this.position)
    this.bytes = larger
  }

  /** What was written; the sink goes on with a new buffer of `size`. */
  take(size: number): Buffer {
    const taken = this.bytes.subarray(0, this.position)
    this.bytes = Buffer.allocUnsafeSlow(size)
    this.position = 0
    return taken
  }

  byte(value: number): void {
    this.bytes[this.position++] = value
  }

  /** ASCII text, short. */
  ascii(text: string): void {
    const { bytes } = this
    let position = this.position
    for (let index = 0; index < text.length; index++) bytes[position++] = text.charCodeAt(index)
    this.position = position
  }

  raw(source: Uint8Array): void {
    this.bytes.set(source, this.position)
    this.position += source.length
  }

  /** Digits of an integer in [0, 2^53]. */
  digits(value: number): void {
    if (value > 4294967295) {
      const high = Math.floor(value / 1e9)
      this.digits(high)
      this.padded(value - high * 1e9, 9)
      return
    }
    const { bytes } = this
    let length = 1
    if (value >= 1e5) length = value >= 1e9 ? 10 : value >= 1e8 ? 9 : value >= 1e7 ? 8 : value >= 1e6 ? 7 : 6
    else if (value >= 10) length = value >= 1e4 ? 5 : value >= 1e3 ? 4 : value >= 100 ? 3 : 2
    let at = this.position + length
    this.position = at
    let rest = value >>> 0
    while (rest >= 100) {
      const next = (rest / 100) >>> 0
      const pair = (rest - next * 100) * 2
      bytes[--at] = twoDigits[pair + 1] as number
      bytes[--at] = twoDigits[pair] as number
      rest = next
    }
    if (rest >= 10) {
      bytes[--at] = twoDigits[rest * 2 + 1] as number
      bytes[--at] = twoDigits[rest * 2] as number
    } else bytes[--at] = 48 + rest
  }

  /** An integer below 2^53 with exactly `width` digits, zeros first. */
  padded(value: number, width: number): void {
    const { bytes } = this
    let rest = value
    const end = this.position + width
    for (let at = end - 1; at >= this.position; at--) {
      const next = Math.floor(rest / 10)
      bytes[at] = 48 + (rest - next * 10)
      rest = next
    }
    this.position = end
  }

  /** Two digits of a number below 100. */
  two(value: number): void {
    this.bytes[this.position] = twoDigits[value * 2] as number
    this.bytes[this.position + 1] = twoDigits[value * 2 + 1] as number
    this.position += 2
  }

  integer(value: number): void {
    if (value < 0) {
      this.bytes[this.position++] = 45
      this.digits(-value)
    } else this.digits(value)
  }

  /** UTF-8 bytes as a JSON string, with its quotes; needs 6 × length + 2 reserved. */
  quoted(source: Uint8Array, start: number, length: number): void {
    const { bytes } = this
    let position = this.position
    bytes[position++] = quote
    for (let index = start, end = start + length; index < end; index++) {
      const byte = source[index] as number
      if (byte >= 32 && byte !== quote && byte !== backslash) bytes[position++] = byte
      else position = this.#escaped(byte, position)
    }
    bytes[position++] = quote
    this.position = position
  }

  #escaped(byte: number, at: number): number {
    const { bytes } = this
    let position = at
    bytes[position++] = backslash
    if (byte === quote || byte === backslash) bytes[position++] = byte
    else if (byte === 10) bytes[position++] = 110
    else if (byte === 13) bytes[position++] = 114
    else if (byte === 9) bytes[position++] = 116
    else {
      bytes[position++] = 117
      bytes[position++] = 48
      bytes[position++] = 48
      bytes[position++] = hexDigits[byte >> 4] as number
      bytes[position++] = hexDigits[byte & 15] as number
    }
    return position
  }

  hex(byte: number): void {
    this.bytes[this.position++] = hexDigits[byte >> 4] as number
    this.bytes[this.position++] = hexDigits[byte & 15] as number
  }
}
