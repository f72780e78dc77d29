/** Dates as Lens's filters write them: epoch milliseconds, `yyyy[-MM[-dd[-HH[-mm[-ss[-SSS]]]]]]`, or relative to now. */
import { WireRefusal, wireCodes } from './refusals.ts'

const units = ['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'] as const
type Unit = (typeof units)[number]
const fixedMs: Partial<Record<Unit, number>> = {
  second: 1_000,
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
  week: 604_800_000,
}
const unitNames = units.join('|')
const relative = new RegExp(`^now(?:\\.(${unitNames}))?((?:\\s*[+-]\\s*\\d{1,6}\\s*(?:${unitNames})s?)*)$`, 'i')

/** ISO 8601 in UTC, undefined for an absent or blank text. Throws 1006. */
export function instantOf(text: string | undefined, field: string, nowMs: number): string | undefined {
  const trimmed = text?.trim() ?? ''
  // What clients send who mean "no bound": the ends of Java's long.
  if (trimmed === '' || trimmed === '-1' || trimmed === '9223372036854775807' || trimmed === '-9223372036854775808')
    return undefined
  const milliseconds = absoluteMs(trimmed) ?? relativeMs(trimmed, nowMs)
  if (milliseconds === undefined || Number.isNaN(milliseconds) || milliseconds < 0 || milliseconds > 8.64e15)
    throw new WireRefusal(
      wireCodes.parameterInvalid,
      `${field}: expected milliseconds since 1970, yyyy-MM-dd-HH-mm or a beginning of it, or now.day - 2 days`,
    )
  return new Date(milliseconds).toISOString()
}

function absoluteMs(text: string): number | undefined {
  const match =
    /^(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:[-T](\d\d?)(?:[-:](\d\d?)(?:[-:](\d\d?)(?:[-,.](\d{1,3}))?)?)?)?)?)?$/.exec(text)
  if (!match) return /^\d{5,16}$/.test(text) ? Number(text) : undefined
  const [year, month = 1, day = 1, hour = 0, minute = 0, second = 0, ms = 0] = match
    .slice(1)
    .map(part => (part === undefined ? undefined : Number(part))) as [number, ...(number | undefined)[]]
  const at = new Date(Date.UTC(year, month - 1, day, hour, minute, second, ms))
  const exact = at.getUTCMonth() === month - 1 && at.getUTCDate() === day && hour < 24 && minute < 60 && second < 60
  return exact ? at.getTime() : Number.NaN
}

function relativeMs(text: string, nowMs: number): number | undefined {
  const match = relative.exec(text)
  if (!match) return undefined
  let at = match[1] ? beginningOf(match[1].toLowerCase() as Unit, nowMs) : nowMs
  for (const [, sign, count, unit] of (match[2] as string).matchAll(/([+-])\s*(\d+)\s*([a-z]+)/gi))
    at = moved(at, Number(count) * (sign === '-' ? -1 : 1), (unit as string).toLowerCase().replace(/s$/, '') as Unit)
  return at
}

function beginningOf(unit: Unit, atMs: number): number {
  const at = new Date(atMs)
  const [year, month] = [at.getUTCFullYear(), at.getUTCMonth()]
  switch (unit) {
    case 'year':
      return Date.UTC(year, 0)
    case 'quarter':
      return Date.UTC(year, month - (month % 3))
    case 'month':
      return Date.UTC(year, month)
    case 'week':
      // Weeks begin on Sunday, as Java's default calendar has it.
      return Date.UTC(year, month, at.getUTCDate() - at.getUTCDay())
    default: {
      const length = fixedMs[unit] as number
      return atMs - (atMs % length)
    }
  }
}

function moved(atMs: number, count: number, unit: Unit): number {
  const length = fixedMs[unit]
  if (length !== undefined) return atMs + count * length
  const at = new Date(atMs)
  const months = count * { month: 1, quarter: 3, year: 12 }[unit as 'month' | 'quarter' | 'year']
  const target = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + months))
  const days = new Date(Date.UTC(target.getUTCFullYear(), target.getUTCMonth() + 1, 0)).getUTCDate()
  return target.getTime() + (Math.min(at.getUTCDate(), days) - 1) * 86_400_000 + (atMs % 86_400_000)
}
