/** Moves a chart through the past of its query: a slider with a stop for every version, steps, and a run through all. */
import { useEffect, useState } from 'preact/hooks'
import { Button } from '../ui/index.ts'

/** How long each version is shown while all are run through, in milliseconds. */
const stepMs = 800

interface Props {
  readonly version: number
  /** The newest one. */
  readonly last: number
  /** What the version is, in words. */
  readonly text: string
  /** Whether the chart follows the query; false while it shows a moment of the past. */
  readonly isLive: boolean
  readonly hasEnded: boolean
  /** null: follow the query again. */
  readonly onMove: (version: number | null) => void
}

export function Replay({ version, last, text, isLive, hasEnded, onMove }: Props) {
  const [running, setRunning] = useState(false)
  const move = (to: number) => onMove(to >= last ? null : Math.max(1, to))
  useEffect(() => {
    if (!running) return
    if (version >= last) {
      setRunning(false)
      return
    }
    const timer = setTimeout(() => move(version + 1), stepMs)
    return () => clearTimeout(timer)
  }, [running, version, last])
  const toggle = () => {
    if (!running && version >= last) onMove(1)
    setRunning(!running)
  }
  const stepTo = (to: number) => () => {
    setRunning(false)
    move(to)
  }
  return (
    <div class="replay" role="group" aria-label="Replay" data-live={isLive}>
      <Button small aria-label="First step" title="First step" disabled={version <= 1} onClick={stepTo(1)}>
        |◀
      </Button>
      <Button small aria-label="Step back" title="Step back" disabled={version <= 1} onClick={stepTo(version - 1)}>
        ◀
      </Button>
      <Button small aria-pressed={running} disabled={last <= 1} onClick={toggle}>
        {running ? 'Pause' : 'Play'}
      </Button>
      <Button small aria-label="Step on" title="Step on" disabled={version >= last} onClick={stepTo(version + 1)}>
        ▶
      </Button>
      <input
        type="range"
        aria-label="Version"
        min={1}
        max={Math.max(1, last)}
        step={1}
        value={version}
        aria-valuetext={text}
        onInput={event => {
          setRunning(false)
          move(Number(event.currentTarget.value))
        }}
      />
      <output class="replay-text">
        {version} of {last}
      </output>
      {isLive ? (
        <span class={`status ${hasEnded ? 'plain' : 'active'}`}>{hasEnded ? '○ last step' : '● live'}</span>
      ) : (
        <Button small kind="primary" onClick={() => onMove(null)}>
          {hasEnded ? 'To the last step' : 'Back to live'}
        </Button>
      )}
    </div>
  )
}
