/** Widths of texts in the chart's fonts: the same as in machines.css, so that no text outgrows its box. */
import type { Measure } from './layout.ts'

const fonts = { title: '600 14px', label: '500 12px', guard: '11px' } as const

let canvas: CanvasRenderingContext2D | null = null

export const measure: Measure = (text, font) => {
  canvas ??= document.createElement('canvas').getContext('2d')
  if (!canvas) return text.length * 8
  canvas.font = `${fonts[font]} ${getComputedStyle(document.body).fontFamily}`
  return canvas.measureText(text).width
}
