/**
 * The cluster's clock, as it told it last. Leases and deadlines run by it; this machine's own clock may be wrong by any amount,
 * and set while the page is open. In between, time is counted by the browser's monotonic clock.
 */
let told: { readonly nowMs: number; readonly arrivedMs: number } | null = null

/** `now` is ISO 8601, just arrived; a node of an older version does not say it. */
export function noteClusterTime(now: string | undefined): void {
  const nowMs = now === undefined ? Number.NaN : Date.parse(now)
  if (!Number.isNaN(nowMs)) told = { nowMs, arrivedMs: performance.now() }
}

/** In milliseconds of the epoch; this machine's clock until the cluster has told its own. */
export function clusterNow(): number {
  return told === null ? Date.now() : told.nowMs + performance.now() - told.arrivedMs
}
