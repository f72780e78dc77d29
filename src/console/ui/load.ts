/** Reads something for a component: again when what it depends on changes, or on demand; the last answer asked for wins. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'

export interface Loaded<T> {
  /** null until the first answer; kept while it is read again. */
  readonly data: T | null
  readonly error: unknown
  readonly loading: boolean
  readonly reload: () => void
}

export function useLoad<T>(read: () => Promise<T>, depends: readonly unknown[]): Loaded<T> {
  const [state, setState] = useState<Omit<Loaded<T>, 'reload'>>({ data: null, error: null, loading: true })
  const turn = useRef(0)
  const load = useCallback(() => {
    const mine = ++turn.current
    setState(before => ({ ...before, loading: true }))
    read().then(
      data => mine === turn.current && setState({ data, error: null, loading: false }),
      error => mine === turn.current && setState(before => ({ data: before.data, error, loading: false })),
    )
  }, depends)
  useEffect(() => {
    load()
    return () => {
      turn.current++
    }
  }, [load])
  return { ...state, reload: load }
}
