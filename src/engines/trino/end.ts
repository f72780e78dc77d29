/** How a query of Trino ended, by the server's own record of it. */
import type { Clock } from '../../async/index.ts'
import { EngineError } from '../contract.ts'
import type { TrinoHttp } from './http.ts'

export interface QueryRecord {
  readonly state?: string
  /** `SELECT`, `INSERT`, …: by the server's analysis of the statement. */
  readonly queryType?: string | null
  /** What it changes; absent for one that only reads. */
  readonly updateType?: string | null
}

const askPatienceMs = 3_000
const endMs = 10_000
const pauseMs = 50

/**
 * Waits until it has ended, after its end was asked for; null when the server has no record that it would show us. Rejects with
 * `unavailable` when it has not ended after a while.
 */
export async function endOf(
  queryId: string,
  http: TrinoHttp,
  clock: Clock,
  headers: Readonly<Record<string, string>>,
): Promise<QueryRecord | null> {
  const url = http.url(`/v1/query/${encodeURIComponent(queryId)}`)
  const until = clock.monotonic() + endMs
  for (;;) {
    const { json } = await http.askJson<QueryRecord>({ method: 'GET', url, headers, patienceMs: askPatienceMs })
    if (json === null || json.state === 'FINISHED' || json.state === 'FAILED') return json
    if (clock.monotonic() > until) throw new EngineError('unavailable', 'The engine has not confirmed the end yet.')
    await clock.sleep(pauseMs)
  }
}
