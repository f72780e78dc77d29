/**
 * One writer per column type: `load` takes a vector where DuckDB wrote it, `write` puts one row's value as JSON into the
 * sink. The type alone decides the form, as the wire contract wants it. Numbers that JSON does not know are the texts "NaN",
 * "Infinity" and "-Infinity".
 */
import {
  type DuckDBArrayType,
  type DuckDBDecimalType,
  type DuckDBEnumType,
  type DuckDBListType,
  type DuckDBMapType,
  type DuckDBStructType,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBUnionType,
  DuckDBVector,
  JsonDuckDBValueConverter,
} from '@duckdb/node-api'
import duckdb, { type Vector } from '@duckdb/node-bindings'
import type { TextSink } from './sink.ts'
import { DateText, durationText, writeOffset, writeTime, writeTimestamp } from './temporal.ts'

export interface ColumnWriter {
  load(vector: Vector, count: number): void
  write(row: number): void
}

/** No value of fixed size takes more bytes than this. */
export const fixedBytesMax = 64

const quote = 34
const open = 91
const close = 93
const comma = 44
const safe = 2 ** 53

abstract class NullableWriter implements ColumnWriter {
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
type ArrayOf<T> = {
  new (buffer: ArrayBufferLike, offset: number, length: number): T
  readonly BYTES_PER_ELEMENT: number
}

function view<T>(array: ArrayOf<T>, vector: Vector, length: number): T {
  const bytes = duckdb.vector_get_data(vector, length * array.BYTES_PER_ELEMENT)
  return new array(bytes.buffer, bytes.byteOffset, length)
}

abstract class FixedWriter<T extends NumberArray> extends NullableWriter {
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

class IntegerWriter<T extends NumberArray> extends FixedWriter<T> {
  protected value(row: number): void {
    this.sink.integer(this.items[row] as number)
  }
}

class BooleanWriter extends FixedWriter<Uint8Array> {
  protected value(row: number): void {
    this.sink.ascii(this.items[row] === 0 ? 'false' : 'true')
  }
}

class FloatWriter<T extends Float32Array | Float64Array> extends FixedWriter<T> {
  protected value(row: number): void {
    const value = this.items[row] as number
    const { sink } = this
    if (Number.isInteger(value) && value < 1e15 && value > -1e15 && !Object.is(value, -0)) sink.integer(value)
    else if (Number.isFinite(value)) sink.ascii(this.shortest(value))
    else sink.ascii(Number.isNaN(value) ? '"NaN"' : value > 0 ? '"Infinity"' : '"-Infinity"')
  }

  protected shortest(value: number): string {
    return Object.is(value, -0) ? '-0' : String(value)
  }
}

// A FLOAT has its own shortest text, other than that of the DOUBLE it becomes in JavaScript.
class SingleWriter extends FloatWriter<Float32Array> {
  protected override shortest(value: number): string {
    // Next to zero a FLOAT has fewer than six significant digits.
    for (let digits = Math.abs(value) < 1.2e-38 ? 1 : 6; digits < 9; digits++) {
      const candidate = Number(value.toPrecision(digits))
      if (Math.fround(candidate) === value) return super.shortest(candidate)
    }
    return super.shortest(Number(value.toPrecision(9)))
  }
}

/** 64 bits as two halves: a BigInt is made only beyond 2^53. */
abstract class WideWriter extends FixedWriter<Uint32Array> {
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

class BigIntWriter extends WideWriter {
  protected value(row: number): void {
    const { sink } = this
    const value = this.signed(row * 2)
    sink.byte(quote)
    if (Number.isNaN(value)) sink.ascii(`${this.signedBig(row * 2)}`)
    else sink.integer(value)
    sink.byte(quote)
  }
}

class UnsignedBigIntWriter extends WideWriter {
  protected value(row: number): void {
    this.quotedInteger(this.unsigned(row * 2), () => this.unsignedBig(row * 2))
  }
}

class HugeIntWriter extends WideWriter {
  constructor(sink: TextSink) {
    super(sink, 4)
  }
  protected value(row: number): void {
    this.quotedInteger(this.signedWide(row * 4), () => this.signedWideBig(row * 4))
  }
}

class UnsignedHugeIntWriter extends WideWriter {
  constructor(sink: TextSink) {
    super(sink, 4)
  }
  protected value(row: number): void {
    const small = this.items[row * 4 + 2] === 0 && this.items[row * 4 + 3] === 0 ? this.unsigned(row * 4) : Number.NaN
    this.quotedInteger(small, () => this.unsignedWideBig(row * 4))
  }
}

class UuidWriter extends FixedWriter<Uint8Array> {
  constructor(sink: TextSink) {
    super(sink, Uint8Array, 16)
  }
  // Stored as a HUGEINT, least byte first, whose sign bit is flipped so that it sorts like its text.
  protected value(row: number): void {
    const { sink, items } = this
    sink.byte(quote)
    for (let index = 15; index >= 0; index--) {
      const byte = items[row * 16 + index] as number
      sink.hex(index === 15 ? byte ^ 0x80 : byte)
      if (index === 12 || index === 10 || index === 8 || index === 6) sink.byte(45)
    }
    sink.byte(quote)
  }
}

function writeScaled(sink: TextSink, value: number, scale: number, unit: number): void {
  sink.byte(quote)
  if (value < 0) sink.byte(45)
  const size = Math.abs(value)
  const whole = Math.floor(size / unit)
  sink.digits(whole)
  if (scale > 0) {
    sink.byte(46)
    sink.padded(size - whole * unit, scale)
  }
  sink.byte(quote)
}

class SmallDecimalWriter<T extends Int16Array | Int32Array> extends FixedWriter<T> {
  readonly #scale: number
  readonly #unit: number
  constructor(sink: TextSink, array: ArrayOf<T>, scale: number) {
    super(sink, array)
    this.#scale = scale
    this.#unit = 10 ** scale
  }
  protected value(row: number): void {
    writeScaled(this.sink, this.items[row] as number, this.#scale, this.#unit)
  }
}

class WideDecimalWriter extends WideWriter {
  readonly #scale: number
  readonly #unit: number
  readonly #halves: number
  constructor(sink: TextSink, halves: number, scale: number) {
    super(sink, halves)
    this.#halves = halves
    this.#scale = scale
    this.#unit = 10 ** scale
  }
  protected value(row: number): void {
    const at = row * this.#halves
    const value = this.#halves === 2 ? this.signed(at) : this.signedWide(at)
    // Beyond 15 digits of scale the unit itself is no exact number.
    if (!Number.isNaN(value) && this.#scale <= 15) {
      writeScaled(this.sink, value, this.#scale, this.#unit)
      return
    }
    const exact = this.#halves === 2 ? this.signedBig(at) : this.signedWideBig(at)
    const digits = `${exact < 0n ? -exact : exact}`.padStart(this.#scale + 1, '0')
    const whole = digits.slice(0, digits.length - this.#scale)
    const fraction = this.#scale === 0 ? '' : `.${digits.slice(digits.length - this.#scale)}`
    this.sink.ascii(`"${exact < 0n ? '-' : ''}${whole}${fraction}"`)
  }
}

class DateWriter extends FixedWriter<Int32Array> {
  readonly #dates = new DateText()
  constructor(sink: TextSink) {
    super(sink, Int32Array)
  }
  protected value(row: number): void {
    const { sink } = this
    const day = this.items[row] as number
    sink.byte(quote)
    if (day === 2147483647) sink.ascii('infinity')
    else if (day === -2147483647) sink.ascii('-infinity')
    else this.#dates.write(sink, day)
    sink.byte(quote)
  }
}

class TimestampWriter extends WideWriter {
  readonly #dates = new DateText()
  readonly #unitsPerSecond: number
  readonly #fractionDigits: number
  readonly #zone: string

  constructor(sink: TextSink, fractionDigits: number, zone: string) {
    super(sink)
    this.#fractionDigits = fractionDigits
    this.#unitsPerSecond = 10 ** fractionDigits
    this.#zone = zone
  }

  protected value(row: number): void {
    const { sink } = this
    const value = this.signed(row * 2)
    sink.byte(quote)
    if (!Number.isNaN(value)) {
      const seconds = Math.floor(value / this.#unitsPerSecond)
      writeTimestamp(sink, this.#dates, seconds, value - seconds * this.#unitsPerSecond, this.#fractionDigits)
      sink.ascii(this.#zone)
    } else this.#beyond(this.signedBig(row * 2))
    sink.byte(quote)
  }

  #beyond(value: bigint): void {
    const { sink } = this
    if (value === 9223372036854775807n || value === -9223372036854775807n) {
      sink.ascii(value > 0n ? 'infinity' : '-infinity')
      return
    }
    const unit = BigInt(this.#unitsPerSecond)
    const fraction = ((value % unit) + unit) % unit
    writeTimestamp(sink, this.#dates, Number((value - fraction) / unit), Number(fraction), this.#fractionDigits)
    sink.ascii(this.#zone)
  }
}

class TimeWriter extends WideWriter {
  readonly #fractionDigits: number
  readonly #unitsPerSecond: number
  constructor(sink: TextSink, fractionDigits: number) {
    super(sink)
    this.#fractionDigits = fractionDigits
    this.#unitsPerSecond = 10 ** fractionDigits
  }
  protected value(row: number): void {
    const { sink } = this
    const value = this.unsigned(row * 2)
    const seconds = Math.floor(value / this.#unitsPerSecond)
    sink.byte(quote)
    writeTime(sink, seconds, value - seconds * this.#unitsPerSecond, this.#fractionDigits)
    sink.byte(quote)
  }
}

// 40 bits of microseconds above 24 bits of offset, which is inverted and shifted to be positive.
class TimeWithZoneWriter extends WideWriter {
  protected value(row: number): void {
    const { sink, items } = this
    const low = items[row * 2] as number
    const micros = (items[row * 2 + 1] as number) * 256 + (low >>> 24)
    const seconds = Math.floor(micros / 1e6)
    sink.byte(quote)
    writeTime(sink, seconds, micros - seconds * 1e6, 6)
    writeOffset(sink, 57_599 - (low & 0xffffff))
    sink.byte(quote)
  }
}

class IntervalWriter extends FixedWriter<Int32Array> {
  constructor(sink: TextSink) {
    super(sink, Int32Array, 4)
  }
  protected value(row: number): void {
    const { items, sink } = this
    const at = row * 4
    const micros = (BigInt(items[at + 3] as number) << 32n) | BigInt((items[at + 2] as number) >>> 0)
    sink.ascii(`"${durationText(items[at] as number, items[at + 1] as number, micros)}"`)
  }
}

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

class TextWriter extends BytesWriter {
  protected content(source: Uint8Array, start: number, length: number): void {
    this.sink.reserve(length * 6 + 2 + fixedBytesMax)
    this.sink.quoted(source, start, length)
  }
}

class BlobWriter extends BytesWriter {
  protected content(source: Uint8Array, start: number, length: number): void {
    const text = Buffer.from(source.buffer, source.byteOffset + start, length).toString('base64')
    this.sink.reserve(text.length + 2 + fixedBytesMax)
    this.sink.byte(quote)
    this.sink.position += this.sink.bytes.write(text, this.sink.position, 'latin1')
    this.sink.byte(quote)
  }
}

// The first byte says how many bits of the second one are padding.
class BitWriter extends BytesWriter {
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
class BigNumWriter extends BytesWriter {
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

class EnumWriter<T extends Uint8Array | Uint16Array | Uint32Array> extends FixedWriter<T> {
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

class ListWriter extends NullableWriter {
  readonly #element: ColumnWriter
  #entries: Uint32Array = new Uint32Array(0)

  constructor(sink: TextSink, element: ColumnWriter) {
    super(sink)
    this.#element = element
  }

  protected attach(vector: Vector, count: number): void {
    this.#entries = view(Uint32Array, vector, count * 4)
    this.#element.load(duckdb.list_vector_get_child(vector), duckdb.list_vector_get_size(vector))
  }

  protected value(row: number): void {
    const first = this.#entries[row * 4] as number
    writeElements(this.sink, this.#element, first, this.#entries[row * 4 + 2] as number)
  }
}

class ArrayWriter extends NullableWriter {
  readonly #element: ColumnWriter
  readonly #length: number

  constructor(sink: TextSink, element: ColumnWriter, length: number) {
    super(sink)
    this.#element = element
    this.#length = length
  }

  protected attach(vector: Vector, count: number): void {
    this.#element.load(duckdb.array_vector_get_child(vector), count * this.#length)
  }

  protected value(row: number): void {
    writeElements(this.sink, this.#element, row * this.#length, this.#length)
  }
}

function writeElements(sink: TextSink, element: ColumnWriter, first: number, count: number): void {
  sink.byte(open)
  for (let index = 0; index < count; index++) {
    sink.reserve(fixedBytesMax * 2)
    if (index > 0) sink.byte(comma)
    element.write(first + index)
  }
  sink.reserve(fixedBytesMax * 2)
  sink.byte(close)
}

class StructWriter extends NullableWriter {
  readonly #keys: readonly Buffer[]
  readonly #values: readonly ColumnWriter[]

  constructor(sink: TextSink, names: readonly string[], values: readonly ColumnWriter[]) {
    super(sink)
    this.#keys = names.map((name, index) => Buffer.from(`${index === 0 ? '{' : ','}${JSON.stringify(name)}:`))
    this.#values = values
  }

  protected attach(vector: Vector, count: number): void {
    this.#values.forEach((value, index) => {
      value.load(duckdb.struct_vector_get_child(vector, index), count)
    })
  }

  protected value(row: number): void {
    const { sink } = this
    for (let index = 0; index < this.#values.length; index++) {
      const key = this.#keys[index] as Buffer
      sink.reserve(key.length + fixedBytesMax * 2)
      sink.raw(key)
      this.#values[index]?.write(row)
    }
    sink.reserve(fixedBytesMax * 2)
    if (this.#values.length === 0) sink.byte(123)
    sink.byte(125)
  }
}

/** A key and its value as a pair: keys may be of any type, so an object cannot hold them. */
class PairWriter extends NullableWriter {
  readonly #key: ColumnWriter
  readonly #value: ColumnWriter

  constructor(sink: TextSink, key: ColumnWriter, value: ColumnWriter) {
    super(sink)
    this.#key = key
    this.#value = value
  }

  protected attach(vector: Vector, count: number): void {
    this.#key.load(duckdb.struct_vector_get_child(vector, 0), count)
    this.#value.load(duckdb.struct_vector_get_child(vector, 1), count)
  }

  protected value(row: number): void {
    const { sink } = this
    sink.byte(open)
    this.#key.write(row)
    sink.reserve(fixedBytesMax * 2)
    sink.byte(comma)
    this.#value.write(row)
    sink.reserve(fixedBytesMax * 2)
    sink.byte(close)
  }
}

class UnionWriter extends NullableWriter {
  readonly #members: readonly ColumnWriter[]
  #tags: Uint8Array = new Uint8Array(0)

  constructor(sink: TextSink, members: readonly ColumnWriter[]) {
    super(sink)
    this.#members = members
  }

  protected attach(vector: Vector, count: number): void {
    this.#tags = view(Uint8Array, duckdb.struct_vector_get_child(vector, 0), count)
    this.#members.forEach((member, index) => {
      member.load(duckdb.struct_vector_get_child(vector, index + 1), count)
    })
  }

  protected value(row: number): void {
    this.#members[this.#tags[row] as number]?.write(row)
  }
}

class NullWriter implements ColumnWriter {
  readonly #sink: TextSink
  constructor(sink: TextSink) {
    this.#sink = sink
  }
  load(): void {}
  write(): void {
    this.#sink.ascii('null')
  }
}

/** Types that are rare: through the library's own conversion. */
class ConvertingWriter extends NullableWriter {
  readonly #type: DuckDBType
  #vector: DuckDBVector | undefined

  constructor(sink: TextSink, type: DuckDBType) {
    super(sink)
    this.#type = type
  }

  protected attach(vector: Vector, count: number): void {
    this.#vector = DuckDBVector.create(vector, count, this.#type)
  }

  protected value(row: number): void {
    const value = this.#vector?.getItem(row)
    const converted =
      value === null || value === undefined
        ? null
        : JsonDuckDBValueConverter(value, this.#type, JsonDuckDBValueConverter)
    const text = Buffer.from(JSON.stringify(converted))
    this.sink.reserve(text.length + fixedBytesMax)
    this.sink.raw(text)
  }
}

export function writerFor(type: DuckDBType, sink: TextSink): ColumnWriter {
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
      return new BooleanWriter(sink, Uint8Array)
    case DuckDBTypeId.TINYINT:
      return new IntegerWriter(sink, Int8Array)
    case DuckDBTypeId.SMALLINT:
      return new IntegerWriter(sink, Int16Array)
    case DuckDBTypeId.INTEGER:
      return new IntegerWriter(sink, Int32Array)
    case DuckDBTypeId.UTINYINT:
      return new IntegerWriter(sink, Uint8Array)
    case DuckDBTypeId.USMALLINT:
      return new IntegerWriter(sink, Uint16Array)
    case DuckDBTypeId.UINTEGER:
      return new IntegerWriter(sink, Uint32Array)
    case DuckDBTypeId.BIGINT:
      return new BigIntWriter(sink)
    case DuckDBTypeId.UBIGINT:
      return new UnsignedBigIntWriter(sink)
    case DuckDBTypeId.HUGEINT:
      return new HugeIntWriter(sink)
    case DuckDBTypeId.UHUGEINT:
      return new UnsignedHugeIntWriter(sink)
    case DuckDBTypeId.BIGNUM:
      return new BigNumWriter(sink)
    case DuckDBTypeId.FLOAT:
      return new SingleWriter(sink, Float32Array)
    case DuckDBTypeId.DOUBLE:
      return new FloatWriter(sink, Float64Array)
    case DuckDBTypeId.DECIMAL:
      return decimalWriter(type as DuckDBDecimalType, sink)
    case DuckDBTypeId.DATE:
      return new DateWriter(sink)
    case DuckDBTypeId.TIMESTAMP_S:
      return new TimestampWriter(sink, 0, '')
    case DuckDBTypeId.TIMESTAMP_MS:
      return new TimestampWriter(sink, 3, '')
    case DuckDBTypeId.TIMESTAMP:
      return new TimestampWriter(sink, 6, '')
    case DuckDBTypeId.TIMESTAMP_NS:
      return new TimestampWriter(sink, 9, '')
    case DuckDBTypeId.TIMESTAMP_TZ:
      return new TimestampWriter(sink, 6, 'Z')
    case DuckDBTypeId.TIME:
      return new TimeWriter(sink, 6)
    case DuckDBTypeId.TIME_NS:
      return new TimeWriter(sink, 9)
    case DuckDBTypeId.TIME_TZ:
      return new TimeWithZoneWriter(sink)
    case DuckDBTypeId.INTERVAL:
      return new IntervalWriter(sink)
    case DuckDBTypeId.VARCHAR:
      return new TextWriter(sink)
    case DuckDBTypeId.BLOB:
    case DuckDBTypeId.GEOMETRY:
      return new BlobWriter(sink)
    case DuckDBTypeId.BIT:
      return new BitWriter(sink)
    case DuckDBTypeId.UUID:
      return new UuidWriter(sink)
    case DuckDBTypeId.ENUM:
      return enumWriter(type as DuckDBEnumType, sink)
    case DuckDBTypeId.LIST:
      return new ListWriter(sink, writerFor((type as DuckDBListType).valueType, sink))
    case DuckDBTypeId.ARRAY:
      return new ArrayWriter(
        sink,
        writerFor((type as DuckDBArrayType).valueType, sink),
        (type as DuckDBArrayType).length,
      )
    case DuckDBTypeId.STRUCT: {
      const { entryNames, entryTypes } = type as DuckDBStructType
      return new StructWriter(
        sink,
        entryNames,
        entryTypes.map(entry => writerFor(entry, sink)),
      )
    }
    case DuckDBTypeId.MAP: {
      const { keyType, valueType } = type as DuckDBMapType
      return new ListWriter(sink, new PairWriter(sink, writerFor(keyType, sink), writerFor(valueType, sink)))
    }
    case DuckDBTypeId.UNION:
      return new UnionWriter(
        sink,
        (type as DuckDBUnionType).memberTypes.map(member => writerFor(member, sink)),
      )
    case DuckDBTypeId.SQLNULL:
      return new NullWriter(sink)
    default:
      return new ConvertingWriter(sink, type)
  }
}

function decimalWriter({ width, scale }: DuckDBDecimalType, sink: TextSink): ColumnWriter {
  if (width <= 4) return new SmallDecimalWriter(sink, Int16Array, scale)
  if (width <= 9) return new SmallDecimalWriter(sink, Int32Array, scale)
  return new WideDecimalWriter(sink, width <= 18 ? 2 : 4, scale)
}

function enumWriter({ values }: DuckDBEnumType, sink: TextSink): ColumnWriter {
  if (values.length <= 256) return new EnumWriter(sink, Uint8Array, values)
  if (values.length <= 65_536) return new EnumWriter(sink, Uint16Array, values)
  return new EnumWriter(sink, Uint32Array, values)
}
