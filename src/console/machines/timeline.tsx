/** The steps of a query in order, each in the lane of the node that took it; where the lane changes, its owner did. */
import { useEffect, useRef } from 'preact/hooks'
import { durationText, Time } from '../ui/index.ts'
import type { LaneStep, Lanes } from './lanes.ts'

const rowPx = 44
const lanePx = 20

interface Props {
  readonly lanes: Lanes
  readonly version: number
  readonly onPick: (version: number) => void
}

export function Timeline({ lanes, version, onPick }: Props) {
  const { nodes, steps } = lanes
  const list = useRef<HTMLOListElement>(null)
  useEffect(() => {
    // Within the list only: the page must not jump.
    const frame = list.current?.parentElement
    const row = list.current?.querySelector<HTMLElement>('[aria-current]')
    if (!frame || !row) return
    if (row.offsetTop < frame.scrollTop) frame.scrollTop = row.offsetTop
    else if (row.offsetTop + rowPx > frame.scrollTop + frame.clientHeight)
      frame.scrollTop = row.offsetTop + rowPx - frame.clientHeight
  }, [version, steps.length])
  const width = nodes.length * lanePx
  return (
    <div class="timeline">
      <ul class="timeline-nodes" aria-label="Lanes">
        {nodes.map((node, lane) => (
          <li key={node} class={`lane-${lane % 6}`} data-lane-node={node}>
            <span class="lane-mark" aria-hidden="true" />
            {node}
          </li>
        ))}
      </ul>
      <div class="timeline-frame">
        <svg
          class="timeline-lanes"
          width={width}
          height={steps.length * rowPx}
          viewBox={`0 0 ${width} ${steps.length * rowPx}`}
          aria-hidden="true"
        >
          <LaneLines steps={steps} />
        </svg>
        <ol ref={list} class="timeline-steps">
          {steps.map((step, index) => (
            <Step key={step.transition.version} {...{ step, version, onPick }} before={steps[index - 1] ?? null} />
          ))}
        </ol>
      </div>
    </div>
  )
}

function LaneLines({ steps }: { readonly steps: readonly LaneStep[] }) {
  const place = ({ lane }: LaneStep, index: number) => ({ x: lanePx * (lane + 0.5), y: rowPx * (index + 0.5) })
  return (
    <>
      {steps.map((step, index) => {
        const before = steps[index - 1]
        if (!before) return null
        const from = place(before, index - 1)
        const to = place(step, index)
        const middle = (from.y + to.y) / 2
        return (
          <path
            key={step.transition.version}
            class={step.tookFrom === null ? `lane-line lane-${step.lane % 6}` : 'lane-line change'}
            d={`M${from.x} ${from.y}C${from.x} ${middle} ${to.x} ${middle} ${to.x} ${to.y}`}
          />
        )
      })}
      {steps.map((step, index) => {
        const { x, y } = place(step, index)
        return <circle key={step.transition.version} class={`lane-dot lane-${step.lane % 6}`} cx={x} cy={y} r="5" />
      })}
    </>
  )
}

interface StepProps {
  readonly step: LaneStep
  readonly before: LaneStep | null
  readonly version: number
  readonly onPick: (version: number) => void
}

function Step({ step, before, version, onPick }: StepProps) {
  const { transition, tookFrom, lane } = step
  const sinceMs = before ? Date.parse(transition.at) - Date.parse(before.transition.at) : null
  const stays = transition.from === transition.to
  return (
    <li
      data-version={transition.version}
      data-event={transition.event}
      data-node={transition.node}
      data-lane={lane}
      data-took-from={tookFrom ?? undefined}
    >
      <button
        type="button"
        aria-current={transition.version === version ? 'step' : undefined}
        onClick={() => onPick(transition.version)}
      >
        <span class="timeline-what">
          <span class="timeline-version">{transition.version}</span>
          <strong>{transition.event}</strong>
          <span class="quiet">{stays ? transition.to : `${transition.from} → ${transition.to}`}</span>
        </span>
        <span class="timeline-who">
          {tookFrom === null ? (
            transition.node
          ) : (
            <b class="timeline-change">
              ⇄ {tookFrom} → {transition.node}
            </b>
          )}
          <span>epoch {transition.epoch}</span>
          <Time at={transition.at} />
          {sinceMs === null ? null : <span>+{durationText(sinceMs)}</span>}
        </span>
      </button>
    </li>
  )
}
