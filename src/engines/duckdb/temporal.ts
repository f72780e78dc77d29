/** Dates, times and intervals of DuckDB as ISO 8601, written into a `TextSink`. */
import type { TextSink } from './sink.ts'

const secondsPerDay = 86_400

/** Writes dates; consecutive values are often of the same day, so the last one's text is kept. */
export class DateText {
  readonly #text = new Uint8Array(16)
  #length = 0
  #day = Number.NaN

  /** `day` since 1970-01-01; years outside 0–9999 as ISO 8601's expanded years (`+012345-01-01`, `-000001-01-01`), of 7 digits where 6 are too few. */
  write(sink: TextSink, day: number): void {
    if (day !== this.#day) {
      const start = sink.position
      writeDate(sink, day)
      this.#length = sink.position - start
      for (let index = 0; index < this.#length; index++) this.#text[index] = sink.bytes[start + index] as number
      this.#day = day
      return
    }
    const { bytes, position } = sink
    for (let index = 0; index < this.#length; index++) bytes[position + index] = this.#text[index] as number
    sink.position = position + this.#length
  }
}

// Days to civil dates by eras of 400 years, counted from the first of March, so that leap days come last.
function writeDate(sink: TextSink, day: number): void {
  const shifted = day + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153)
  const dayOfMonth = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  if (year >= 0 && year <= 9999) {
    sink.two(Math.floor(year / 100))
    sink.two(year % 100)
  } else {
    sink.byte(year < 0 ? 45 : 43)
    sink.padded(Math.abs(year), Math.abs(year) > 999_999 ? 7 : 6)
  }
  sink.byte(45)
  sink.two(month)
  sink.byte(45)
  sink.two(dayOfMonth)
}

/** `HH:MM:SS`, then the fraction (of `fractionDigits` digits) when it is not zero, trimmed to 3, 6 or 9 digits. */
export function writeTime(sink: TextSink, seconds: number, fraction: number, fractionDigits: number): void {
  sink.two(Math.floor(seconds / 3600))
  sink.byte(58)
  sink.two(Math.floor(seconds / 60) % 60)
  sink.byte(58)
  sink.two(seconds % 60)
  if (fraction === 0) return
  let digits = fractionDigits
  let rest = fraction
  while (digits > 3 && rest % 1000 === 0) {
    digits -= 3
    rest /= 1000
  }
  sink.byte(46)
  sink.padded(rest, digits)
}

/** A point in time from whole seconds since 1970 and a fraction below one second. */
export function writeTimestamp(
  sink: TextSink,
  dates: DateText,
  seconds: number,
  fraction: number,
  fractionDigits: number,
): void {
  const day = Math.floor(seconds / secondsPerDay)
  dates.write(sink, day)
  sink.byte(84)
  writeTime(sink, seconds - day * secondsPerDay, fraction, fractionDigits)
}

/** An offset from UTC in seconds as `+01:00`, with seconds only where there are some. */
export function writeOffset(sink: TextSink, seconds: number): void {
  const size = Math.abs(seconds)
  sink.byte(seconds < 0 ? 45 : 43)
  sink.two(Math.floor(size / 3600))
  sink.byte(58)
  sink.two(Math.floor(size / 60) % 60)
  if (size % 60 === 0) return
  sink.byte(58)
  sink.two(size % 60)
}

/** An ISO 8601 duration; each part carries its own sign, zero is `PT0S`. */
export function durationText(months: number, days: number, micros: bigint): string {
  const years = Math.trunc(months / 12)
  const parts = [part(years, 'Y'), part(months % 12, 'M'), part(days, 'D')].join('')
  const size = micros < 0n ? -micros : micros
  const sign = micros < 0n ? '-' : ''
  const hours = size / 3_600_000_000n
  const minutes = (size / 60_000_000n) % 60n
  const seconds = (size / 1_000_000n) % 60n
  const fraction = size % 1_000_000n
  let time = ''
  if (hours !== 0n) time += `${sign}${hours}H`
  if (minutes !== 0n) time += `${sign}${minutes}M`
  if (seconds !== 0n || fraction !== 0n) {
    const decimals = fraction === 0n ? '' : `.${`${fraction}`.padStart(6, '0').replace(/0+$/, '')}`
    time += `${sign}${seconds}${decimals}S`
  }
  return parts === '' && time === '' ? 'PT0S' : `P${parts}${time === '' ? '' : `T${time}`}`
}

function part(value: number, unit: string): string {
  return value === 0 ? '' : `${value}${unit}`
}
