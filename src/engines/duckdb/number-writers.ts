/** Writers of numbers. What JSON does not know as a number is a text: "NaN", "Infinity", "-Infinity", and all of more than 53 bits. */
import { type ArrayOf, FixedWriter, quote, WideWriter } from './column-writer.ts'
import type { TextSink } from './sink.ts'

type NumberArray =
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | Float32Array
  | Float64Array

export class IntegerWriter<T extends NumberArray> extends FixedWriter<T> {
  protected value(row: number): void {
    this.sink.integer(this.items[row] as number)
  }
}

export class BooleanWriter extends FixedWriter<Uint8Array> {
  protected value(row: number): void {
    this.sink.ascii(this.items[row] === 0 ? 'false' : 'true')
  }
}

export class FloatWriter<T extends Float32Array | Float64Array> extends FixedWriter<T> {
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
export class SingleWriter extends FloatWriter<Float32Array> {
  protected override shortest(value: number): string {
    // Next to zero a FLOAT has fewer than six significant digits.
    for (let digits = Math.abs(value) < 1.2e-38 ? 1 : 6; digits < 9; digits++) {
      const candidate = Number(value.toPrecision(digits))
      if (Math.fround(candidate) === value) return super.shortest(candidate)
    }
    return super.shortest(Number(value.toPrecision(9)))
  }
}

export class BigIntWriter extends WideWriter {
  protected value(row: number): void {
    const { sink } = this
    const value = this.signed(row * 2)
    sink.byte(quote)
    if (Number.isNaN(value)) sink.ascii(`${this.signedBig(row * 2)}`)
    else sink.integer(value)
    sink.byte(quote)
  }
}

export class UnsignedBigIntWriter extends WideWriter {
  protected value(row: number): void {
    this.quotedInteger(this.unsigned(row * 2), () => this.unsignedBig(row * 2))
  }
}

export class HugeIntWriter extends WideWriter {
  constructor(sink: TextSink) {
    super(sink, 4)
  }
  protected value(row: number): void {
    this.quotedInteger(this.signedWide(row * 4), () => this.signedWideBig(row * 4))
  }
}

export class UnsignedHugeIntWriter extends WideWriter {
  constructor(sink: TextSink) {
    super(sink, 4)
  }
  protected value(row: number): void {
    const small = this.items[row * 4 + 2] === 0 && this.items[row * 4 + 3] === 0 ? this.unsigned(row * 4) : Number.NaN
    this.quotedInteger(small, () => this.unsignedWideBig(row * 4))
  }
}

export class UuidWriter extends FixedWriter<Uint8Array> {
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

export class SmallDecimalWriter<T extends Int16Array | Int32Array> extends FixedWriter<T> {
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

export class WideDecimalWriter extends WideWriter {
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
