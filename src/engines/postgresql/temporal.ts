/** PostgreSQL's dates and times (its ISO style) as the wire wants them: ISO 8601, points in time in UTC. */

const point = /^(\d{4,})-(\d\d)-(\d\d)(?: (\d\d:\d\d:\d\d)(\.\d+)?)?([+-]\d\d(?::\d\d){0,2})?( BC)?$/
const timeOfDay = /^(\d\d:\d\d:\d\d)(\.\d+)?([+-]\d\d(?::\d\d){0,2})?$/

/** Of a date, too. What has no such form (`infinity`) stays as it is. */
export function timestampText(text: string): string {
  const match = point.exec(text)
  if (!match) return text
  const [, year = '', month, day, time, fraction, , beforeChrist] = match
  const date = `${yearText(Number(year), beforeChrist !== undefined)}-${month}-${day}`
  return time === undefined ? date : `${date}T${time}${fractionText(fraction)}`
}

export function instantText(text: string): string {
  const match = point.exec(text)
  if (!match) return text
  const [, year = '', month, day, time = '00:00:00', fraction, offset = '+00', beforeChrist] = match
  if (offset === '+00') return `${timestampText(text.replace(offset, ''))}Z`
  const shifted = new Date(0)
  shifted.setUTCFullYear(beforeChrist === undefined ? Number(year) : 1 - Number(year), Number(month) - 1, Number(day))
  const [hours = 0, minutes = 0, seconds = 0] = time.split(':').map(Number)
  shifted.setUTCHours(hours, minutes, seconds - offsetSeconds(offset))
  // A `Date` does not reach as far as the server's own times.
  if (Number.isNaN(shifted.getTime())) return text
  const [date, clock] = isoOf(shifted)
  return `${date}T${clock}${fractionText(fraction)}Z`
}

export function timeText(text: string): string {
  const match = timeOfDay.exec(text)
  if (!match) return text
  const [, time, fraction, offset] = match
  return `${time}${fractionText(fraction)}${offset === undefined ? '' : offset.length === 3 ? `${offset}:00` : offset}`
}

/** Years outside 0–9999 as ISO 8601's expanded ones; the year before 1 is 0. */
function yearText(year: number, beforeChrist: boolean): string {
  const number = beforeChrist ? 1 - year : year
  if (number >= 0 && number <= 9999) return `${number}`.padStart(4, '0')
  return `${number < 0 ? '-' : '+'}${`${Math.abs(number)}`.padStart(6, '0')}`
}

/** The server leaves trailing zeros out; the wire has 3 or 6 digits. */
function fractionText(fraction: string | undefined): string {
  return fraction === undefined ? '' : fraction.padEnd(fraction.length <= 4 ? 4 : 7, '0')
}

function offsetSeconds(offset: string): number {
  const [hours = 0, minutes = 0, seconds = 0] = offset.slice(1).split(':').map(Number)
  return (offset.startsWith('-') ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds)
}

/** `Date` writes years outside 0–9999 with six digits, as the wire does. */
function isoOf(date: Date): [date: string, time: string] {
  const text = date.toISOString()
  const split = text.indexOf('T')
  return [text.slice(0, split), text.slice(split + 1, split + 9)]
}
