/** Draws samples of load with uPlot, in a chunk of its own. */
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { clusterNow } from '../cluster-clock.ts'
import type { Sample } from './history.ts'

export interface Plot {
  /** Over the `spanMs` milliseconds before the last sample. */
  show(samples: readonly Sample[], spanMs: number, highest: number): void
  remove(): void
}

const heightPx = 92

/** `place` stands in a figure whose legend has the colours of the lines, in whatever theme. */
export function plotIn(place: HTMLElement): Plot {
  const colourOf = (selector: string) => {
    const element = place.parentElement?.querySelector(selector) ?? place
    return getComputedStyle(element).color
  }
  const line = (selector: string, dash: number[] = []): uPlot.Series => ({
    stroke: () => colourOf(selector),
    width: 1.5,
    dash,
    points: { show: false },
  })
  let highest = 1
  let shown: readonly Sample[] = []
  let shownMs = 60_000
  const axis = {
    stroke: () => colourOf('.load-span'),
    grid: { stroke: () => getComputedStyle(place).borderTopColor, width: 1 },
    ticks: { show: false },
    font: '11px system-ui, sans-serif',
  }
  const plot = new uPlot(
    {
      width: Math.max(120, place.clientWidth),
      height: heightPx,
      legend: { show: false },
      cursor: { show: false },
      // Beside the last time there is room for half of its text.
      padding: [6, 30, 0, 0],
      scales: {
        x: {
          time: true,
          range: () => {
            const now = shown.at(-1)?.at ?? clusterNow()
            return [(now - shownMs) / 1_000, now / 1_000]
          },
        },
        y: { range: () => [0, highest * 1.1] },
      },
      axes: [
        { ...axis, size: 20, space: 90, values: (_, seconds) => seconds.map(timeText) },
        { ...axis, size: 30, space: 26, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000] },
      ],
      series: [{}, line('.load-running'), line('.load-queued', [4, 3])],
    },
    [[], [], []],
    place,
  )
  const resized = new ResizeObserver(() => {
    if (place.clientWidth > 0 && place.clientWidth !== plot.width)
      plot.setSize({ width: place.clientWidth, height: heightPx })
  })
  resized.observe(place)
  return {
    show(samples, spanMs, highestOfAll) {
      highest = highestOfAll
      shown = samples
      shownMs = spanMs
      plot.setData([
        samples.map(({ at }) => at / 1_000),
        samples.map(({ running }) => running),
        samples.map(({ queued }) => queued),
      ])
    },
    remove() {
      resized.disconnect()
      plot.destroy()
    },
  }
}

/** As people write times where they are, like all times of the pages. */
function timeText(seconds: number): string {
  return new Date(seconds * 1_000).toLocaleTimeString([], { hour: 'numeric', minute: '2-digit', second: '2-digit' })
}
