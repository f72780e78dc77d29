/** A statechart, drawn: nested boxes, arrows with their events, where a machine is, and how many are where. */
import { useEffect, useMemo } from 'preact/hooks'
import type { MachineGraph } from '../../client/index.ts'
import { Button, ErrorNote, toneOf, useLoad } from '../ui/index.ts'
import { chartGraphOf, type Taken } from './chart-graph.ts'
import { type Box, type Chart as ChartPlan, innerText, type Route, sizes } from './layout.ts'
import { layOut } from './layout-engine.ts'
import { measure } from './measure.ts'
import { usePanZoom } from './pan-zoom.ts'
import { headPath, roundedPath } from './paths.ts'

interface Props {
  readonly machine: MachineGraph
  /** What the chart shows, for those who do not see it. */
  readonly label: string
  /** Paths of the states that a machine is in; none for a chart of all. */
  readonly active?: readonly string[]
  /** The transition that led there. */
  readonly taken?: Taken | null
  /** How many machines are in each state, by path. */
  readonly counts?: Readonly<Record<string, number>>
}

export function Chart(props: Props) {
  const { machine } = props
  const graph = useMemo(() => chartGraphOf(machine), [machine])
  const { data, error, reload } = useLoad(() => layOut(graph, measure), [graph])
  if (error) return <ErrorNote error={error} retry={reload} />
  if (!data) return <p class="loading">Laying out the statechart…</p>
  return <Drawing {...props} plan={data} everywhere={(graph.inner.get('') ?? []).map(innerText)} />
}

interface DrawingProps extends Props {
  readonly plan: ChartPlan
  readonly everywhere: readonly string[]
}

const none: readonly string[] = []

function Drawing({ machine, label, active = none, taken = null, counts, plan, everywhere }: DrawingProps) {
  const { view, frame, fit, zoom, show } = usePanZoom(plan)
  // A chart of all begins where its machines do.
  const here = active.at(-1) ?? machine.initial
  useEffect(() => {
    const box = plan.boxes.find(({ state }) => state.path === here)
    if (box) show(box)
  }, [here, plan])
  const isActive = new Set(active)
  const isEverywhere = taken !== null && taken.transition.source === ''
  return (
    <div class="chart" data-machine={machine.id}>
      {/* In the order of tabs, as it is moved and zoomed by keys. An element of SVG knows `tabindex` in lower case only. */}
      <svg ref={frame} class="chart-frame" role="group" aria-label={label} tabindex={0}>
        <g transform={`translate(${view.x} ${view.y}) scale(${view.scale})`}>
          {plan.boxes.map(box => (
            <BoxView
              key={box.state.path}
              box={box}
              isActive={isActive.has(box.state.path)}
              taken={taken}
              count={counts?.[box.state.path] ?? null}
            />
          ))}
          {plan.entries.map(({ from, points }) => (
            <g key={`${from.x},${from.y}`} class="chart-entry">
              <circle cx={from.x} cy={from.y} r={sizes.dotPx / 2} />
              <path class="chart-line" d={roundedPath(points)} />
              <path class="chart-head" d={headPath(points)} />
            </g>
          ))}
          {plan.routes.map(route => (
            <ArrowView key={route.arrow.id} route={route} isTaken={route.arrow.id === taken?.arrow} />
          ))}
          {plan.routes.map(route => (
            <LabelView key={route.arrow.id} route={route} taken={taken} />
          ))}
        </g>
      </svg>
      {everywhere.length > 0 ? (
        <p class={`chart-everywhere${isEverywhere ? ' taken' : ''}`}>
          In every state: {everywhere.map(text => text.replace('↻ ', '')).join(' · ')}
        </p>
      ) : null}
      <div class="chart-tools" role="toolbar" aria-label="View of the chart">
        <Button small aria-label="Smaller" title="Smaller (-)" onClick={() => zoom(1 / 1.25)}>
          −
        </Button>
        <Button small aria-label="Larger" title="Larger (+)" onClick={() => zoom(1.25)}>
          +
        </Button>
        <Button small title="Show all of it (0)" onClick={fit}>
          Fit
        </Button>
      </div>
    </div>
  )
}

interface BoxProps {
  readonly box: Box
  readonly isActive: boolean
  readonly taken: Taken | null
  readonly count: number | null
}

function BoxView({ box, isActive, taken, count }: BoxProps) {
  const { state, x, y, width, height, inner } = box
  const { path, key, type } = state
  const tone = toneOf(path.split('.')[0] as string)
  const said = [path, isActive ? 'active' : '', count ? `${count} here` : '', type === 'final' ? 'final' : '']
  const hasHead = type === 'compound' || type === 'parallel' || inner.length > 0
  const titleY = y + (hasHead ? sizes.titlePx / 2 + 2 : height / 2)
  return (
    // biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: a group of SVG is not interactive
    <g
      class={`chart-box ${type} tone-${tone}${isActive ? ' active' : ''}`}
      role="group"
      data-state={path}
      data-count={count ?? undefined}
      aria-current={isActive ? 'true' : undefined}
      aria-label={said.filter(part => part !== '').join(', ')}
    >
      <rect class="chart-shape" x={x} y={y} width={width} height={height} rx="8" />
      {type === 'final' ? (
        <rect class="chart-inner-shape" x={x + 3.5} y={y + 3.5} width={width - 7} height={height - 7} rx="5" />
      ) : null}
      {type === 'compound' ? <path class="chart-rule" d={`M${x} ${y + sizes.titlePx + 2}H${x + width}`} /> : null}
      <text class="chart-title" x={x + sizes.paddingPx} y={titleY} dominant-baseline="central">
        {key}
      </text>
      {inner.map((transition, index) => {
        const isTaken = taken?.arrow === null && taken.transition === transition
        return (
          <text
            key={transition.label}
            class={`chart-inner${isTaken ? ' taken' : ''}`}
            x={x + sizes.paddingPx}
            y={y + sizes.titlePx + sizes.innerLinePx * (index + 0.5)}
            dominant-baseline="central"
          >
            {innerText(transition)}
          </text>
        )
      })}
      {count ? <Count x={x + width - 12} y={titleY} count={count} /> : null}
    </g>
  )
}

function Count({ x, y, count }: { readonly x: number; readonly y: number; readonly count: number }) {
  const text = count > 9_999 ? `${Math.floor(count / 1_000)}k` : String(count)
  const width = 12 + 8 * text.length
  return (
    <g class="chart-count">
      <rect x={x - width} y={y - 10} width={width} height="20" rx="10" />
      <text x={x - width / 2} y={y} text-anchor="middle" dominant-baseline="central">
        {text}
      </text>
    </g>
  )
}

function ArrowView({ route, isTaken }: { readonly route: Route; readonly isTaken: boolean }) {
  return (
    <g class={`chart-arrow${isTaken ? ' taken' : ''}`} data-arrow={route.arrow.id}>
      <path class="chart-line" d={roundedPath(route.points)} />
      <path class="chart-head" d={headPath(route.points, isTaken ? 11 : 8)} />
    </g>
  )
}

function LabelView({ route, taken }: { readonly route: Route; readonly taken: Taken | null }) {
  const { label, arrow } = route
  if (!label) return null
  const isTaken = taken?.arrow === arrow.id
  return (
    <g class={`chart-label${isTaken ? ' taken' : ''}`} data-label={arrow.id}>
      <title>
        {arrow.transitions.map(({ label: text }) => `${arrow.source} → ${arrow.target}: ${text}`).join('\n')}
      </title>
      <rect x={label.x} y={label.y} width={label.width} height={label.height} rx="4" />
      {label.lines.map(({ text, isGuard }, index) => (
        <text
          key={`${index}:${text}`}
          class={isGuard ? 'guard' : undefined}
          x={label.x + label.width / 2}
          y={label.y + 2 + sizes.labelLinePx * (index + 0.5)}
          text-anchor="middle"
          dominant-baseline="central"
        >
          {text}
        </text>
      ))}
    </g>
  )
}
