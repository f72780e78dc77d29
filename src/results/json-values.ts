/** Numbers, dates and times read from JSON text in place, in the units that Arrow counts in. */

const quote = 34
const minus = 45
/** Integers of so many digits are exact as numbers. */
export const safeDigits = 15

export function number(text: Buffer, start: number, end: number): number {
  if (text[start] === quote) return Number(text.toString('latin1', start + 1, end - 1))
  return Number(text.toString('latin1', start, end))
}

export function integer(text: Buffer, start: number, end: number): number {
  const negative = text[start] === minus
  let value = 0
  for (let at = negative ? start + 1 : start; at < end; at++) value = value * 10 + (text[at] as number) - 48
  return negative ? -value : value
}

export function quotedInteger(text: Buffer, start: number, end: number): bigint | number {
  if (end - start - 2 > safeDigits) return BigInt(text.toString('latin1', start + 1, end - 1))
  return integer(text, start + 1, end - 1)
}

/** `±?YYYY…-MM-DD` at `start`; gives days since 1970 and the position behind. */
function dateAt(text: Buffer, start: number): { days: number; end: number } {
  const signed = text[start] === minus || text[start] === 43
  const yearEnd = signed ? text.indexOf(minus, start + 1) : start + 4
  const size = integer(text, signed ? start + 1 : start, yearEnd)
  const month = integer(text, yearEnd + 1, yearEnd + 3)
  const day = integer(text, yearEnd + 4, yearEnd + 6)
  const year = (text[start] === minus ? -size : size) - (month <= 2 ? 1 : 0)
  const era = Math.floor(year / 400)
  const yearOfEra = year - era * 400
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return { days: era * 146_097 + dayOfEra - 719_468, end: yearEnd + 6 }
}

/** 'infinity' or '-infinity' behind the quote: 1 or -1; 0 for anything else. */
function infinityAt(text: Buffer, start: number): number {
  if (text[start + 1] === 105) return 1
  return text[start + 1] === minus && text[start + 2] === 105 ? -1 : 0
}

export function days(text: Buffer, start: number): number {
  return infinityAt(text, start) === 0 ? dateAt(text, start + 1).days : infinityAt(text, start) * 2_147_483_647
}

/** `HH:MM:SS[.fraction]` in units of 10^-digits seconds: whole seconds and the fraction. */
function timeAt(text: Buffer, start: number, end: number, digits: number): { seconds: number; fraction: number } {
  const seconds =
    integer(text, start, start + 2) * 3600 +
    integer(text, start + 3, start + 5) * 60 +
    integer(text, start + 6, start + 8)
  if (text[start + 8] !== 46) return { seconds, fraction: 0 }
  let fraction = 0
  let found = 0
  for (let at = start + 9; at < end && found < digits; at++) {
    const digit = (text[at] as number) - 48
    if (digit < 0 || digit > 9) break
    fraction = fraction * 10 + digit
    found++
  }
  return { seconds, fraction: fraction * 10 ** (digits - found) }
}

export function timestamp(digits: number): (text: Buffer, start: number, end: number) => bigint | number {
  const unit = 10 ** digits
  return (text, start, end) => {
    const infinity = infinityAt(text, start)
    if (infinity !== 0) return BigInt(infinity) * 9_223_372_036_854_775_807n
    const date = dateAt(text, start + 1)
    const { seconds, fraction } = timeAt(text, date.end + 1, end - 1, digits)
    const whole = date.days * 86_400 + seconds
    const units = whole * unit + fraction
    return Number.isSafeInteger(units) ? units : BigInt(whole) * BigInt(unit) + BigInt(fraction)
  }
}

export function timeOfDay(digits: number): (text: Buffer, start: number, end: number) => number {
  return (text, start, end) => {
    const { seconds, fraction } = timeAt(text, start + 1, end - 1, digits)
    return seconds * 10 ** digits + fraction
  }
}
