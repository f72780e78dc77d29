/** The load of one node over the last minutes. The drawing library is loaded when a chart is first shown; the figures are there before. */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { NodeView } from '../../client/index.ts'
import { type Sample, spanMs } from './history.ts'
import type { Plot } from './plot.ts'

interface Props {
  readonly node: Pick<NodeView, 'node' | 'running' | 'queued'>
  readonly samples: readonly Sample[]
  /** Of all charts of the page: their heights can be compared. */
  readonly highest: number
}

export function LoadChart({ node, samples, highest }: Props) {
  const place = useRef<HTMLDivElement>(null)
  const [plot, setPlot] = useState<Plot | null>(null)
  useEffect(() => {
    let left = false
    let made: Plot | null = null
    import('./plot.ts').then(
      ({ plotIn }) => {
        if (left || !place.current) return
        made = plotIn(place.current)
        setPlot(made)
      },
      // Without the library the figures remain.
      () => {},
    )
    return () => {
      left = true
      made?.remove()
    }
  }, [])
  const span = spanMs(samples, samples.at(-1)?.at ?? 0)
  useEffect(() => plot?.show(samples, span, highest), [plot, samples, span, highest])
  const minutes = span / 60_000
  return (
    <figure class="load" aria-label={`Load of ${node.node}`}>
      <figcaption>
        <span class="load-running">
          <span class="load-line" aria-hidden="true" />
          running <b data-running={node.running}>{node.running}</b>
        </span>
        <span class="load-queued">
          <span class="load-line" aria-hidden="true" />
          queued <b data-queued={node.queued}>{node.queued}</b>
        </span>
        <span class="load-span">{minutes === 1 ? 'last minute' : `last ${minutes} min`}</span>
      </figcaption>
      <div ref={place} class="load-plot" aria-hidden="true" />
    </figure>
  )
}
