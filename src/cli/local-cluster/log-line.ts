/** A node's log line (JSON) as people read it; anything else stays as it is. */

const levels: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
}
/** Said already by the prefix, or of no use on one machine. */
const omitted = new Set(['time', 'level', 'msg', 'pid', 'hostname', 'node', 'incarnation'])

export function readableLine(line: string): string {
  if (!line.startsWith('{')) return line
  let entry: Record<string, unknown>
  try {
    entry = JSON.parse(line)
  } catch {
    return line
  }
  const { time, level, msg } = entry
  if (msg === undefined) return line
  const clock = typeof time === 'string' ? time.slice(11, 23) : typeof time === 'number' ? isoClock(time) : ''
  const name = typeof level === 'number' ? (levels[level] ?? level) : level
  const rest = Object.entries(entry)
    .filter(([key]) => !omitted.has(key))
    .map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return `${clock} ${String(name).padEnd(5)} ${msg}${rest.join('')}`
}

function isoClock(time: number): string {
  return new Date(time).toISOString().slice(11, 23)
}
