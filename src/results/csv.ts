/**
 * CSV by RFC 4180 from lines of JSON, byte by byte: a header line, CRLF, fields quoted where they need it, NULL empty, the
 * empty string quoted. Lists, structs and maps are their JSON text.
 */
import type { Column } from '../domain/index.ts'
import { endOfValue } from './json-scan.ts'

const quote = 34
const backslash = 92
const comma = 44
const openArray = 91
const closeArray = 93
const openObject = 123
const carriageReturn = 13
const lineFeed = 10
const letterN = 110

export function csvHeader(columns: readonly Column[]): Buffer {
  return Buffer.from(`${columns.map(({ name }) => headerField(name)).join(',')}\r\n`)
}

function headerField(name: string): string {
  return name === '' || /[",\r\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name
}

export function csvRows(text: Buffer): Buffer {
  // At worst every byte is a quote of a nested value: doubled, and two around it.
  const writer = new CsvWriter(text, Buffer.allocUnsafeSlow(text.length * 2 + 16))
  let position = 0
  while (position < text.length) position = writer.row(position)
  return writer.written()
}

class CsvWriter {
  readonly #text: Buffer
  #out: Buffer
  #position = 0

  constructor(text: Buffer, out: Buffer) {
    this.#text = text
    this.#out = out
  }

  written(): Buffer {
    return this.#out.subarray(0, this.#position)
  }

  /** `start` is the bracket that opens the row; gives the beginning of the next row. */
  row(start: number): number {
    const text = this.#text
    let position = start + 1
    while (text[position] !== closeArray) {
      if (text[position] === comma) {
        this.#out[this.#position++] = comma
        position++
      }
      position = this.#field(position)
    }
    this.#out[this.#position++] = carriageReturn
    this.#out[this.#position++] = lineFeed
    return position + 2
  }

  #field(start: number): number {
    const text = this.#text
    const first = text[start]
    if (first === quote) return this.#string(start)
    if (first === letterN) return start + 4
    if (first === openArray || first === openObject) return this.#nested(start)
    const out = this.#out
    let to = this.#position
    let position = start
    for (;;) {
      const byte = text[position] as number
      if (byte === comma || byte === closeArray) break
      out[to++] = byte
      position++
    }
    this.#position = to
    return position
  }

  // Most strings need neither unescaping nor quotes: they are copied while they are looked at.
  #string(start: number): number {
    const text = this.#text
    const out = this.#out
    let to = this.#position
    let position = start + 1
    for (;;) {
      const byte = text[position] as number
      if (byte === quote && position > start + 1) {
        this.#position = to
        return position + 1
      }
      if (byte === comma || byte === backslash || byte === quote) return this.#quoted(start)
      out[to++] = byte
      position++
    }
  }

  #quoted(start: number): number {
    const text = this.#text
    const out = this.#out
    const end = endOfValue(text, start)
    let to = this.#position
    out[to++] = quote
    for (let position = start + 1; position < end - 1; position++) {
      const byte = text[position] as number
      if (byte !== backslash) {
        out[to++] = byte
        continue
      }
      const escaped = text[++position] as number
      if (escaped === 117) {
        to = writeCodePoint(out, to, codePointAt(text, position + 1))
        position += surrogateAt(text, position + 1) ? 10 : 4
      } else {
        const byteOf = unescaped(escaped)
        if (byteOf === quote) out[to++] = quote
        out[to++] = byteOf
      }
    }
    out[to++] = quote
    this.#position = to
    return end
  }

  #nested(start: number): number {
    const text = this.#text
    const out = this.#out
    const end = endOfValue(text, start)
    let to = this.#position
    out[to++] = quote
    for (let position = start; position < end; position++) {
      const byte = text[position] as number
      if (byte === quote) out[to++] = quote
      out[to++] = byte
    }
    out[to++] = quote
    this.#position = to
    return end
  }
}

/** The byte that a one-letter escape stands for. */
function unescaped(letter: number): number {
  if (letter === 110) return 10
  if (letter === 114) return 13
  if (letter === 116) return 9
  if (letter === 98) return 8
  if (letter === 102) return 12
  return letter
}

function surrogateAt(text: Buffer, at: number): boolean {
  const unit = unitAt(text, at)
  return unit >= 0xd800 && unit < 0xdc00
}

function codePointAt(text: Buffer, at: number): number {
  const unit = unitAt(text, at)
  return surrogateAt(text, at) ? 0x10000 + ((unit - 0xd800) << 10) + (unitAt(text, at + 6) - 0xdc00) : unit
}

function unitAt(text: Buffer, at: number): number {
  return Number.parseInt(text.toString('latin1', at, at + 4), 16)
}

function writeCodePoint(out: Buffer, to: number, codePoint: number): number {
  if (codePoint === quote) out[to++] = quote
  return to + out.write(String.fromCodePoint(codePoint), to)
}
