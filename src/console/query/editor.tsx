/** Where the SQL is written. The editor's code loads when the page is first seen; until then its place is held. */
import type { RefObject } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { TableView } from '../../client/index.ts'
import { ErrorNote } from '../ui/index.ts'
import type { SqlEditor } from './codemirror.ts'
import { draft } from './draft.ts'

interface Props {
  readonly editor: RefObject<SqlEditor | null>
  readonly tables: readonly TableView[]
  readonly onRun: () => void
  /** Called once the editor can be used. */
  readonly onReady: () => void
}

export function Editor({ editor, tables, onRun, onReady }: Props) {
  const place = useRef<HTMLDivElement>(null)
  const run = useRef(onRun)
  run.current = onRun
  const [failure, setFailure] = useState<unknown>(null)
  const [ready, setReady] = useState(false)

  useEffect(() => {
    let left = false
    import('./codemirror.ts').then(
      ({ createEditor }) => {
        if (left || !place.current) return
        editor.current = createEditor({
          parent: place.current,
          text: draft.get(),
          onRun: () => run.current(),
          onChange: text => draft.set(text),
        })
        setReady(true)
        onReady()
      },
      error => left || setFailure(error),
    )
    return () => {
      left = true
      editor.current?.destroy()
      editor.current = null
    }
  }, [])

  useEffect(() => {
    if (ready) editor.current?.setTables(tables)
  }, [ready, tables, editor])

  if (failure) return <ErrorNote error={failure} />
  return (
    <div class="editor-place">
      {ready ? null : <p class="loading">Loading the editor…</p>}
      <div class="editor" ref={place} />
    </div>
  )
}
