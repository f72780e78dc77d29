/** One column of a record batch, filled from JSON values in place: the Arrow type of an engine's type, and its parser. */
import {
  Binary,
  Bool,
  type Data,
  type DataType,
  DateDay,
  Decimal,
  Float32,
  Float64,
  Int8,
  Int16,
  Int32,
  Int64,
  makeData,
  Null,
  TimeMicrosecond,
  TimeNanosecond,
  TimestampMicrosecond,
  TimestampMillisecond,
  TimestampNanosecond,
  TimestampSecond,
  Uint8,
  Uint16,
  Uint32,
  Uint64,
  Utf8,
} from 'apache-arrow'
import { endOfValue } from './json-scan.ts'
import { days, integer, number, quotedInteger, safeDigits, timeOfDay, timestamp } from './json-values.ts'

const quote = 34
const backslash = 92
const letterN = 110
const capitalN = 78
const minus = 45

export abstract class ColumnBuilder {
  readonly type: DataType
  protected text: Buffer = Buffer.alloc(0)
  protected length = 0
  #valid = new Uint8Array(0)
  #nullCount = 0

  constructor(type: DataType) {
    this.type = type
  }

  begin(text: Buffer, length: number): void {
    this.text = text
    this.length = length
    this.#valid = new Uint8Array((length + 7) >> 3).fill(255)
    this.#nullCount = 0
    this.allocate(length)
  }

  /** Takes the value that begins at `start`; gives the position behind it. */
  value(start: number, row: number): number {
    if (this.text[start] === letterN) {
      this.missing(row)
      return start + 4
    }
    const end = endOfValue(this.text, start)
    this.present(start, end, row)
    return end
  }

  finish(): Data {
    return this.build({
      length: this.length,
      nullCount: this.#nullCount,
      nullBitmap: this.#nullCount > 0 ? this.#valid : null,
    })
  }

  protected missing(row: number): void {
    this.#valid[row >> 3] = (this.#valid[row >> 3] as number) & ~(1 << (row & 7))
    this.#nullCount++
    this.absent(row)
  }

  protected abstract allocate(length: number): void
  protected abstract present(start: number, end: number, row: number): void
  protected absent(_row: number): void {}
  protected abstract build(base: Base): Data
}

interface Base {
  readonly length: number
  readonly nullCount: number
  readonly nullBitmap: Uint8Array | null
}

type Numbers =
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | Float32Array
  | Float64Array

class NumberBuilder extends ColumnBuilder {
  readonly #array: new (
    length: number,
  ) => Numbers
  readonly #parse: (text: Buffer, start: number, end: number) => number
  #values: Numbers

  constructor(
    type: DataType,
    array: new (length: number) => Numbers,
    parse: (text: Buffer, start: number, end: number) => number,
  ) {
    super(type)
    this.#array = array
    this.#parse = parse
    this.#values = new array(0)
  }

  protected allocate(length: number): void {
    this.#values = new this.#array(length)
  }

  protected present(start: number, end: number, row: number): void {
    this.#values[row] = this.#parse(this.text, start, end)
  }

  protected build(base: Base): Data {
    return makeData({ type: this.type as Float64, ...base, data: this.#values as Float64Array })
  }
}

class BigBuilder extends ColumnBuilder {
  readonly #parse: (text: Buffer, start: number, end: number) => bigint | number
  #values = new BigInt64Array(0)

  constructor(type: DataType, parse: (text: Buffer, start: number, end: number) => bigint | number) {
    super(type)
    this.#parse = parse
  }

  protected allocate(length: number): void {
    this.#values = new BigInt64Array(length)
  }

  protected present(start: number, end: number, row: number): void {
    this.#values[row] = BigInt(this.#parse(this.text, start, end))
  }

  protected build(base: Base): Data {
    const unsigned = new BigUint64Array(this.#values.buffer)
    return makeData({
      type: this.type as Int64,
      ...base,
      data: (this.type instanceof Uint64 ? unsigned : this.#values) as BigInt64Array,
    })
  }
}

/** 128-bit numbers of decimal text, least word first; the point is only left out. */
class DecimalBuilder extends ColumnBuilder {
  #values = new Uint32Array(0)

  protected allocate(length: number): void {
    this.#values = new Uint32Array(length * 4)
  }

  protected present(start: number, end: number, row: number): void {
    // PostgreSQL's NaN: Arrow's decimals have no such number.
    if (this.text[start + 1] === capitalN) {
      this.missing(row)
      return
    }
    const negative = this.text[start + 1] === minus
    let small = 0
    let digits = 0
    for (let at = start + 1; at < end - 1; at++) {
      const digit = (this.text[at] as number) - 48
      if (digit < 0 || digit > 9) continue
      small = small * 10 + digit
      if (small > 0) digits++
    }
    if (digits > safeDigits) {
      this.#wide(BigInt(this.text.toString('latin1', start + 1, end - 1).replace('.', '')), row)
      return
    }
    const low = small % 4294967296
    const high = Math.floor(small / 4294967296)
    const at = row * 4
    if (!negative || small === 0) {
      this.#values[at] = low
      this.#values[at + 1] = high
      return
    }
    // Two's complement by words.
    this.#values[at] = -low >>> 0
    this.#values[at + 1] = (low === 0 ? -high : ~high) >>> 0
    this.#values[at + 2] = 4294967295
    this.#values[at + 3] = 4294967295
  }

  #wide(value: bigint, row: number): void {
    for (let word = 0; word < 4; word++)
      this.#values[row * 4 + word] = Number((value >> BigInt(word * 32)) & 0xffffffffn)
  }

  protected build(base: Base): Data {
    return makeData({ type: this.type as Decimal, ...base, data: this.#values })
  }
}

class BoolBuilder extends ColumnBuilder {
  #values = new Uint8Array(0)

  protected allocate(length: number): void {
    this.#values = new Uint8Array((length + 7) >> 3)
  }

  protected present(start: number, _end: number, row: number): void {
    if (this.text[start] === 116) this.#values[row >> 3] = (this.#values[row >> 3] as number) | (1 << (row & 7))
  }

  protected build(base: Base): Data {
    return makeData({ type: this.type as Bool, ...base, data: this.#values })
  }
}

class NullBuilder extends ColumnBuilder {
  protected allocate(): void {}
  protected present(): void {}
  protected build({ length }: Base): Data {
    return makeData({ type: new Null(), length })
  }
}

/** Bytes of any length: texts, nested values as they stand, base64. */
class BytesBuilder extends ColumnBuilder {
  readonly #base64: boolean
  #offsets = new Int32Array(0)
  #bytes: Buffer = Buffer.alloc(0)
  #used = 0

  constructor(type: DataType, base64: boolean) {
    super(type)
    this.#base64 = base64
  }

  protected allocate(length: number): void {
    this.#offsets = new Int32Array(length + 1)
    this.#bytes = Buffer.allocUnsafeSlow(4096)
    this.#used = 0
  }

  protected override absent(row: number): void {
    this.#offsets[row + 1] = this.#used
  }

  protected present(start: number, end: number, row: number): void {
    this.#reserve(end - start)
    if (this.text[start] !== quote) this.#used += this.text.copy(this.#bytes, this.#used, start, end)
    else if (this.#base64)
      this.#used += this.#bytes.write(this.text.toString('latin1', start + 1, end - 1), this.#used, 'base64')
    else this.#string(start + 1, end - 1)
    this.#offsets[row + 1] = this.#used
  }

  #string(start: number, end: number): void {
    const { text } = this
    const bytes = this.#bytes
    let to = this.#used
    for (let at = start; at < end; at++) {
      const byte = text[at] as number
      if (byte === backslash) {
        this.#used += bytes.write(JSON.parse(text.toString('utf8', start - 1, end + 1)), this.#used)
        return
      }
      bytes[to++] = byte
    }
    this.#used = to
  }

  #reserve(size: number): void {
    if (this.#used + size <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#used + size))
    this.#bytes.copy(larger, 0, 0, this.#used)
    this.#bytes = larger
  }

  protected build(base: Base): Data {
    const data = this.#bytes.subarray(0, this.#used)
    return makeData({ type: this.type as Utf8, ...base, valueOffsets: this.#offsets, data })
  }
}

const byType: Readonly<Record<string, () => ColumnBuilder>> = {
  BOOLEAN: () => new BoolBuilder(new Bool()),
  TINYINT: () => new NumberBuilder(new Int8(), Int8Array, integer),
  SMALLINT: () => new NumberBuilder(new Int16(), Int16Array, integer),
  INTEGER: () => new NumberBuilder(new Int32(), Int32Array, integer),
  UTINYINT: () => new NumberBuilder(new Uint8(), Uint8Array, integer),
  USMALLINT: () => new NumberBuilder(new Uint16(), Uint16Array, integer),
  UINTEGER: () => new NumberBuilder(new Uint32(), Uint32Array, integer),
  BIGINT: () => new BigBuilder(new Int64(), quotedInteger),
  UBIGINT: () => new BigBuilder(new Uint64(), quotedInteger),
  HUGEINT: () => new DecimalBuilder(new Decimal(0, 38)),
  FLOAT: () => new NumberBuilder(new Float32(), Float32Array, number),
  DOUBLE: () => new NumberBuilder(new Float64(), Float64Array, number),
  DATE: () => new NumberBuilder(new DateDay(), Int32Array, days),
  TIMESTAMP_S: () => new BigBuilder(new TimestampSecond(), timestamp(0)),
  TIMESTAMP_MS: () => new BigBuilder(new TimestampMillisecond(), timestamp(3)),
  TIMESTAMP: () => new BigBuilder(new TimestampMicrosecond(), timestamp(6)),
  TIMESTAMP_NS: () => new BigBuilder(new TimestampNanosecond(), timestamp(9)),
  'TIMESTAMP WITH TIME ZONE': () => new BigBuilder(new TimestampMicrosecond('UTC'), timestamp(6)),
  TIME: () => new BigBuilder(new TimeMicrosecond(), timeOfDay(6)),
  TIME_NS: () => new BigBuilder(new TimeNanosecond(), timeOfDay(9)),
  BLOB: () => new BytesBuilder(new Binary(), true),
  GEOMETRY: () => new BytesBuilder(new Binary(), true),
  '"NULL"': () => new NullBuilder(new Null()),
}

/** `type`: the engine's own name of a column's type. */
export function columnBuilder(type: string): ColumnBuilder {
  const decimal = /^DECIMAL\((\d+),\s*(\d+)\)$/.exec(type)
  if (decimal) return new DecimalBuilder(new Decimal(Number(decimal[2]), Number(decimal[1])))
  return byType[type]?.() ?? new BytesBuilder(new Utf8(), false)
}
