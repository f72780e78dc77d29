/**
 * What part of a drawing is seen: moved by dragging, the wheel and the arrow keys, made larger and smaller by the wheel with
 * Ctrl, two fingers, `+` and `-`. `0` shows all of it.
 */
import type { RefObject } from 'preact'
import { useCallback, useLayoutEffect, useRef, useState } from 'preact/hooks'

/** A point p of the drawing is seen at (x + scale·p). */
export interface View {
  readonly x: number
  readonly y: number
  readonly scale: number
}

interface Size {
  readonly width: number
  readonly height: number
}

const scaleMin = 0.15
const scaleMax = 3
const marginPx = 16
/** How much of its surroundings is shown with a place. */
const aroundPx = 56
/** A chart that would be smaller than this to be seen as a whole is shown as wide as its frame instead, … */
const comfortableScale = 0.85
/** … and never smaller than this at first: nobody could read it. */
const readableScale = 0.62

/** All of a drawing. */
export function fitted(drawing: Size, frame: Size): View {
  const [width, height] = roomIn(frame)
  return centred(drawing, frame, Math.min(width / drawing.width, height / drawing.height, 1.15))
}

/** As much of a drawing, from its top, as can be read. */
export function readable(drawing: Size, frame: Size): View {
  const [width, height] = roomIn(frame)
  const wide = width / drawing.width
  const whole = Math.min(wide, height / drawing.height, 1.15)
  const least = Math.max(readableScale, Math.min(wide, comfortableScale))
  return centred(drawing, frame, Math.max(whole, least))
}

function roomIn({ width, height }: Size): [number, number] {
  return [Math.max(1, width - 2 * marginPx), Math.max(1, height - 2 * marginPx)]
}

function centred(drawing: Size, frame: Size, scale: number): View {
  const x = (frame.width - drawing.width * scale) / 2
  const y = Math.max(marginPx, (frame.height - drawing.height * scale) / 2)
  return { x, y, scale }
}

export function zoomedAt(view: View, factor: number, at: { readonly x: number; readonly y: number }): View {
  const scale = Math.min(scaleMax, Math.max(scaleMin, view.scale * factor))
  const ratio = scale / view.scale
  return { scale, x: at.x - (at.x - view.x) * ratio, y: at.y - (at.y - view.y) * ratio }
}

/** The least move that brings a place of the drawing into the frame. */
export function showing(view: View, place: Size & { readonly x: number; readonly y: number }, frame: Size): View {
  const moved = (from: number, length: number, room: number, offset: number) => {
    const start = offset + from * view.scale
    const end = start + length * view.scale
    if (start < aroundPx || length * view.scale > room - 2 * aroundPx) return offset + aroundPx - start
    return end > room - aroundPx ? offset + room - aroundPx - end : offset
  }
  return {
    scale: view.scale,
    x: moved(place.x, place.width, frame.width, view.x),
    y: moved(place.y, place.height, frame.height, view.y),
  }
}

export interface PanZoom {
  readonly view: View
  readonly frame: RefObject<SVGSVGElement | null>
  readonly fit: () => void
  readonly zoom: (factor: number) => void
  readonly show: (place: Size & { readonly x: number; readonly y: number }) => void
}

export function usePanZoom(drawing: Size): PanZoom {
  const frame = useRef<SVGSVGElement>(null)
  const [view, setView] = useState<View>({ x: 0, y: 0, scale: 1 })
  const { width, height } = drawing
  const sizeOf = useCallback((): Size => {
    const { clientWidth, clientHeight } = frame.current ?? { clientWidth: 1, clientHeight: 1 }
    return { width: clientWidth, height: clientHeight }
  }, [])
  const fit = useCallback(() => setView(fitted({ width, height }, sizeOf())), [width, height])
  const zoom = useCallback((factor: number) => {
    const size = sizeOf()
    setView(now => zoomedAt(now, factor, { x: size.width / 2, y: size.height / 2 }))
  }, [])
  const show = useCallback((place: Size & { x: number; y: number }) => {
    setView(now => showing(now, place, sizeOf()))
  }, [])

  // Before anything is painted: the drawing does not jump to its place.
  useLayoutEffect(() => {
    const svg = frame.current
    if (!svg) return
    setView(readable({ width, height }, sizeOf()))
    let known = sizeOf()
    const observer = new ResizeObserver(() => {
      const now = sizeOf()
      if (now.width !== known.width) setView(readable({ width, height }, now))
      known = now
    })
    observer.observe(svg)
    const stop = followGestures(svg, change => setView(change), fit)
    return () => {
      observer.disconnect()
      stop()
    }
  }, [width, height])
  return { view, frame, fit, zoom, show }
}

function followGestures(svg: SVGSVGElement, move: (change: (now: View) => View) => void, fit: () => void): () => void {
  const listening = new AbortController()
  const { signal } = listening
  const placeOf = (event: MouseEvent) => {
    const { left, top } = svg.getBoundingClientRect()
    return { x: event.clientX - left, y: event.clientY - top }
  }
  const pointers = new Map<number, { x: number; y: number }>()
  svg.addEventListener(
    'wheel',
    event => {
      event.preventDefault()
      if (event.ctrlKey || event.metaKey) move(now => zoomedAt(now, Math.exp(-event.deltaY / 300), placeOf(event)))
      else move(now => ({ ...now, x: now.x - event.deltaX, y: now.y - event.deltaY }))
    },
    { signal, passive: false },
  )
  svg.addEventListener(
    'pointerdown',
    event => {
      if (event.button !== 0) return
      svg.setPointerCapture(event.pointerId)
      pointers.set(event.pointerId, placeOf(event))
    },
    { signal },
  )
  svg.addEventListener(
    'pointermove',
    event => {
      const before = pointers.get(event.pointerId)
      if (!before) return
      const now = placeOf(event)
      pointers.set(event.pointerId, now)
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1]
      if (other) {
        const factor = Math.hypot(now.x - other.x, now.y - other.y) / Math.hypot(before.x - other.x, before.y - other.y)
        const at = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 }
        if (Number.isFinite(factor)) move(view => zoomedAt(view, factor, at))
      }
      const share = other ? 0.5 : 1
      move(view => ({ ...view, x: view.x + (now.x - before.x) * share, y: view.y + (now.y - before.y) * share }))
    },
    { signal },
  )
  for (const type of ['pointerup', 'pointercancel'] as const)
    svg.addEventListener(type, event => pointers.delete(event.pointerId), { signal })
  const keys: Readonly<Record<string, (now: View) => View>> = {
    ArrowLeft: now => ({ ...now, x: now.x + 60 }),
    ArrowRight: now => ({ ...now, x: now.x - 60 }),
    ArrowUp: now => ({ ...now, y: now.y + 60 }),
    ArrowDown: now => ({ ...now, y: now.y - 60 }),
    '+': now => zoomedAt(now, 1.2, { x: svg.clientWidth / 2, y: svg.clientHeight / 2 }),
    '-': now => zoomedAt(now, 1 / 1.2, { x: svg.clientWidth / 2, y: svg.clientHeight / 2 }),
  }
  svg.addEventListener(
    'keydown',
    event => {
      if (event.ctrlKey || event.metaKey || event.altKey) return
      const change = keys[event.key === '=' ? '+' : event.key]
      if (change) move(change)
      else if (event.key === '0') fit()
      else return
      event.preventDefault()
    },
    { signal },
  )
  return () => listening.abort()
}
