/** Points in time and spans of it, as people read them. */
import { useEffect, useState } from 'preact/hooks'
import { clusterNow } from '../cluster-clock.ts'

/** `at` is ISO 8601; null shows a dash. Time of day where it was today, the date before it otherwise; the whole as a title. */
export function Time({ at }: { readonly at: string | null }) {
  if (at === null) return <span>–</span>
  const date = new Date(at)
  const isToday = date.toDateString() === new Date().toDateString()
  const text = isToday ? date.toLocaleTimeString() : `${date.toLocaleDateString()} ${date.toLocaleTimeString()}`
  return (
    <time dateTime={at} title={date.toISOString()}>
      {text}
    </time>
  )
}

/** `1500` → `1.5 s`; negative spans, of clocks that differ, count as none. */
export function durationText(ms: number): string {
  const span = Math.max(0, ms)
  if (span < 1_000) return `${Math.round(span)} ms`
  if (span < 60_000) return `${(span / 1_000).toFixed(1)} s`
  const seconds = Math.round(span / 1_000)
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`
}

/** The present by the cluster's clock in milliseconds of the epoch, renewed every `periodMs` while `running`. */
export function useNow(periodMs: number, running = true): number {
  const [now, setNow] = useState(clusterNow)
  useEffect(() => {
    if (!running) return
    setNow(clusterNow())
    const timer = setInterval(() => setNow(clusterNow()), periodMs)
    return () => clearInterval(timer)
  }, [periodMs, running])
  return now
}
