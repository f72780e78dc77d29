/** The machine of one session, and any moment of its past. Nobody tells of its steps: it is asked for from time to time. */
import { useCallback, useEffect, useState } from 'preact/hooks'
import { LensClientError, type MachineGraph, type MachineMoment } from '../../client/index.ts'
import { useClient } from '../session.ts'
import { Empty, ErrorNote, Status, textOf } from '../ui/index.ts'
import { Chart } from './chart.tsx'
import { activePaths } from './chart-graph.ts'
import { useMoments } from './follow.ts'
import { Moment } from './moment.tsx'
import { Replay } from './replay.tsx'

const periodMs = 2_000

export function SessionMachine({ id, machine }: { readonly id: string; readonly machine: MachineGraph }) {
  const client = useClient()
  const [moment, setMoment] = useState<MachineMoment | null>(null)
  const [picked, setPicked] = useState<number | null>(null)
  const [error, setError] = useState<unknown>(null)
  const [attempt, setAttempt] = useState(0)
  useEffect(() => {
    let left = false
    let timer: ReturnType<typeof setTimeout> | null = null
    let latest: MachineMoment | null = null
    setError(null)
    const ask = async () => {
      // Nobody sees a page in the background.
      if (document.hidden) {
        timer = setTimeout(() => void ask(), periodMs)
        return
      }
      try {
        const found = await client.sessionMachine(id)
        if (left) return
        if (found.version !== latest?.version) {
          setMoment(found)
          latest = found
        }
        timer = setTimeout(() => void ask(), periodMs)
      } catch (failure) {
        if (!left) setError(failure)
      }
    }
    void ask()
    return () => {
      left = true
      if (timer !== null) clearTimeout(timer)
    }
  }, [client, id, attempt])
  const last = moment?.version ?? 0
  const version = Math.min(picked ?? last, last)
  const past = useCallback((wanted: number) => client.sessionMachine(id, wanted), [client, id])
  const { now, before, error: momentError } = useMoments(past, id, version, true)
  if (error instanceof LensClientError && (error.code === 'NOT_FOUND' || error.code === 'REQUEST_INVALID')) {
    return (
      <Empty title="There is no such machine">
        The session {moment ? 'has ended' : 'does not exist, has ended'}, or belongs to somebody else.
      </Empty>
    )
  }
  if (error) return <ErrorNote error={error} retry={() => setAttempt(attempt + 1)} />
  if (!moment) return <p class="loading">Asking for the machine…</p>
  const shown = now ?? moment
  const active = activePaths(shown.value)
  return (
    <>
      <div class="machine-head">
        <Status value={active[0] ?? ''} />
        <code class="machine-id">{id}</code>
      </div>
      <div class="machine-body">
        <div class="card machine-chart">
          <Replay
            {...{ version, last, text: `Version ${version} of ${last}: ${active[0]}` }}
            isLive={picked === null}
            hasEnded={false}
            onMove={setPicked}
          />
          <Chart machine={machine} label="Statechart of this session" active={active} />
        </div>
        <aside class="card machine-side" aria-label="Context">
          <h2>
            Context <span class="quiet">at version {version}</span>
          </h2>
          {now ? (
            <Moment moment={now} before={before} />
          ) : (
            <p class="machine-note">{momentError ? textOf(momentError) : 'Asking for that moment…'}</p>
          )}
        </aside>
      </div>
    </>
  )
}
