/**
 * What every writer of a column type is built on: `load` takes a vector where DuckDB wrote it, `write` puts one row's value as
 * JSON into the sink. The type alone decides the form, as the wire contract wants it.
 */
import duckdb, { type Vector } from '@duckdb/node-bindings'
import type { TextSink } from './sink.ts'

export interface ColumnWriter {
  load(vector: Vector, count: number): void
  write(row: number): void
}

/** No value of fixed size takes more bytes than this. */
export const fixedBytesMax = 64

export const quote = 34
const safe = 2 ** 53

export abstract class NullableWriter implements ColumnWriter {
  protected readonly sink: TextSink
  #validity: Uint8Array | null = null

  constructor(sink: TextSink) {
    this.sink = sink
  }

  load(vector: Vector, count: number): void {
    this.#validity = duckdb.vector_get_validity(vector, Math.ceil(count / 64) * 8) ?? null
    this.attach(vector, count)
  }

  write(row: number): void {
    const validity = this.#validity
    if (validity !== null && ((validity[row >> 3] as number) & (1 << (row & 7))) === 0) this.sink.ascii('null')
    else this.value(row)
  }

  protected abstract attach(vector: Vector, count: number): void
  protected abstract value(row: number): void

  /** A text that is not hot: longer ones reserve for themselves. */
  protected text(text: string): void {
    const bytes = Buffer.from(text)
    this.sink.reserve(bytes.length * 6 + 2 + fixedBytesMax)
    this.sink.quoted(bytes, 0, bytes.length)
  }
}

type NumberArray =
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | Float32Array
  | Float64Array
export type ArrayOf<T> = {
  new (buffer: ArrayBufferLike, offset: number, length: number): T
  readonly BYTES_PER_ELEMENT: number
}

export function view<T>(array: ArrayOf<T>, vector: Vector, length: number): T {
  const bytes = duckdb.vector_get_data(vector, length * array.BYTES_PER_ELEMENT)
  return new array(bytes.buffer, bytes.byteOffset, length)
}

export abstract class FixedWriter<T extends NumberArray> extends NullableWriter {
  readonly #array: ArrayOf<T>
  readonly #perRow: number
  protected items: T

  constructor(sink: TextSink, array: ArrayOf<T>, perRow = 1) {
    super(sink)
    this.#array = array
    this.#perRow = perRow
    this.items = new array(new ArrayBuffer(0), 0, 0)
  }

  protected attach(vector: Vector, count: number): void {
    this.items = view(this.#array, vector, count * this.#perRow)
  }
}

/** 64 bits as two halves: a BigInt is made only beyond 2^53. */
export abstract class WideWriter extends FixedWriter<Uint32Array> {
  constructor(sink: TextSink, halves = 2) {
    super(sink, Uint32Array, halves)
  }

  /** NaN when it is beyond 2^53. */
  protected signed(index: number): number {
    const value = ((this.items[index + 1] as number) | 0) * 4294967296 + (this.items[index] as number)
    return value < safe && value > -safe ? value : Number.NaN
  }

  protected unsigned(index: number): number {
    const value = (this.items[index + 1] as number) * 4294967296 + (this.items[index] as number)
    return value < safe ? value : Number.NaN
  }

  protected unsignedBig(index: number): bigint {
    return (BigInt(this.items[index + 1] as number) << 32n) | BigInt(this.items[index] as number)
  }

  protected signedBig(index: number): bigint {
    return BigInt.asIntN(64, this.unsignedBig(index))
  }

  /** 128 bits, when the upper half only repeats the sign. */
  protected signedWide(index: number): number {
    const low = this.signed(index)
    const sign = ((this.items[index + 1] as number) | 0) >> 31
    return ((this.items[index + 2] as number) | 0) === sign && ((this.items[index + 3] as number) | 0) === sign
      ? low
      : Number.NaN
  }

  protected signedWideBig(index: number): bigint {
    return (this.signedBig(index + 2) << 64n) | this.unsignedBig(index)
  }

  protected unsignedWideBig(index: number): bigint {
    return (this.unsignedBig(index + 2) << 64n) | this.unsignedBig(index)
  }

  protected quotedInteger(value: number, big: () => bigint): void {
    const { sink } = this
    sink.byte(quote)
    if (Number.isNaN(value)) sink.ascii(`${big()}`)
    else sink.integer(value)
    sink.byte(quote)
  }
}
