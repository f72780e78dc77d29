/** Writers of dates, times and intervals, as ISO 8601; DuckDB's infinite ones are `infinity` and `-infinity`. */
import { FixedWriter, quote, WideWriter } from './column-writer.ts'
import type { TextSink } from './sink.ts'
import { DateText, durationText, writeOffset, writeTime, writeTimestamp } from './temporal.ts'

export class DateWriter extends FixedWriter<Int32Array> {
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

export class TimestampWriter extends WideWriter {
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

export class TimeWriter extends WideWriter {
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
export class TimeWithZoneWriter extends WideWriter {
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

export class IntervalWriter extends FixedWriter<Int32Array> {
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
