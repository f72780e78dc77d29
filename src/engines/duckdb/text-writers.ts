/** Writers of values of any length: texts, binary as base64, bit strings as digits, enumerations by their dictionary. */
import duckdb, { type Vector } from '@duckdb/node-bindings'
import { type ArrayOf, FixedWriter, fixedBytesMax, NullableWriter, quote } from './column-writer.ts'
import type { TextSink } from './sink.ts'

/** DuckDB's 16-byte strings: the length, then up to 12 bytes in place, or a pointer. */
abstract class BytesWriter extends NullableWriter {
  #bytes: Uint8Array = new Uint8Array(0)
  #lengths: Uint32Array = new Uint32Array(0)

  protected attach(vector: Vector, count: number): void {
    this.#bytes = duckdb.vector_get_data(vector, count * 16)
    this.#lengths = new Uint32Array(this.#bytes.buffer, this.#bytes.byteOffset, count * 4)
  }

  protected value(row: number): void {
    const length = this.#lengths[row * 4] as number
    if (length <= 12) this.content(this.#bytes, row * 16 + 4, length)
    else this.content(this.#pointed(row, length), 0, length)
  }

  #pointed(row: number, length: number): Uint8Array {
    const { buffer, byteOffset } = this.#bytes
    return duckdb.get_data_from_pointer(buffer as ArrayBuffer, byteOffset + row * 16 + 8, length)
  }

  protected abstract content(source: Uint8Array, start: number, length: number): void
}

export class TextWriter extends BytesWriter {
  protected content(source: Uint8Array, start: number, length: number): void {
    this.sink.reserve(length * 6 + 2 + fixedBytesMax)
    this.sink.quoted(source, start, length)
  }
}

export class BlobWriter extends BytesWriter {
  protected content(source: Uint8Array, start: number, length: number): void {
    const text = Buffer.from(source.buffer, source.byteOffset + start, length).toString('base64')
    this.sink.reserve(text.length + 2 + fixedBytesMax)
    this.sink.byte(quote)
    this.sink.position += this.sink.bytes.write(text, this.sink.position, 'latin1')
    this.sink.byte(quote)
  }
}

// The first byte says how many bits of the second one are padding.
export class BitWriter extends BytesWriter {
  protected content(source: Uint8Array, start: number, length: number): void {
    this.sink.reserve(length * 8 + 2 + fixedBytesMax)
    this.sink.byte(quote)
    const padding = source[start] as number
    for (let bit = padding; bit < (length - 1) * 8; bit++)
      this.sink.byte(48 + (((source[start + 1 + (bit >> 3)] as number) >> (7 - (bit & 7))) & 1))
    this.sink.byte(quote)
  }
}

// Three bytes of header (sign and length, inverted when negative), then the size, most significant byte first.
export class BigNumWriter extends BytesWriter {
  protected content(source: Uint8Array, start: number, length: number): void {
    const negative = ((source[start] as number) & 0x80) === 0
    let hex = ''
    for (let index = start + 3; index < start + length; index++) {
      const byte = source[index] as number
      hex += ((negative ? ~byte : byte) & 0xff).toString(16).padStart(2, '0')
    }
    const size = BigInt(`0x${hex === '' ? '0' : hex}`)
    this.text(`${negative ? -size : size}`)
  }
}

export class EnumWriter<T extends Uint8Array | Uint16Array | Uint32Array> extends FixedWriter<T> {
  readonly #texts: readonly Buffer[]
  constructor(sink: TextSink, array: ArrayOf<T>, values: readonly string[]) {
    super(sink, array)
    this.#texts = values.map(value => Buffer.from(JSON.stringify(value)))
  }
  protected value(row: number): void {
    const text = this.#texts[this.items[row] as number] as Buffer
    this.sink.reserve(text.length + fixedBytesMax)
    this.sink.raw(text)
  }
}
