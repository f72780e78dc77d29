/** The Query page: write SQL, run it, watch it from whichever node tells, and read its rows. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import type { EngineView, QueryView, TableView } from '../../client/index.ts'
import { navigate, segmentsOf, usePath } from '../routes.ts'
import { useClient } from '../session.ts'
import { Button, ErrorNote, Page, useLoad } from '../ui/index.ts'
import type { SqlEditor, Statement } from './codemirror.ts'
import { Editor } from './editor.tsx'
import { errorPlaceOf } from './error-place.ts'
import { History } from './history.tsx'
import './query.css'
import { RunView } from './run-view.tsx'
import { defaultSettings, type RunSettings, Settings } from './settings.tsx'
import { newKey, submit } from './submit.ts'

/** The editor's code: loaded while nobody waits, as the node that serves it may be gone when it is needed. */
export const warm = () => import('./codemirror.ts')

const noEngines: readonly EngineView[] = []
const noTables: readonly TableView[] = []
/** Statements of one run that are remembered as tabs. */
const tabsMax = 12

/** A statement that was run from this page, and where it stood in the editor. */
interface Tab {
  readonly handle: string
  readonly statement: Statement
}

export default function QueryPage() {
  const client = useClient()
  const path = usePath()
  const handle = segmentsOf(path)[1] ?? null
  const editor = useRef<SqlEditor | null>(null)
  const [ready, setReady] = useState(false)
  const [settings, setSettings] = useState<RunSettings>(defaultSettings)
  const [tabs, setTabs] = useState<readonly Tab[]>([])
  const [seen, setSeen] = useState<QueryView | null>(null)
  const [failure, setFailure] = useState<unknown>(null)
  const [busy, setBusy] = useState(false)
  const [showHistory, setShowHistory] = useState(() => innerWidth >= 1280)
  const engines = useLoad(() => client.engines(), [client]).data ?? noEngines
  const engine = settings.engine || engines[0]?.name
  const tables = useLoad(async () => (engine ? client.tables(engine) : noTables), [client, engine]).data ?? noTables

  const run = async (statements: readonly Statement[]) => {
    if (busy || statements.length === 0) return
    setBusy(true)
    setFailure(null)
    editor.current?.mark(null)
    try {
      for (const [index, statement] of statements.entries()) {
        const query = await submit(client, statement.text, settings, newKey())
        setTabs(before => [...(index === 0 ? [] : before), { handle: query.handle, statement }].slice(-tabsMax))
        navigate(`/queries/${query.handle}`)
        if (index === statements.length - 1) break
        // The next statement may need what this one did: they run one after another, until one fails.
        const ended = await client.handle(query.handle).wait()
        if (ended.outcome !== 'SUCCESSFUL') break
      }
    } catch (error) {
      setFailure(error)
    } finally {
      setBusy(false)
    }
  }
  /** What is selected; else the statement in which the cursor stands. */
  const runOne = () => {
    const selected = editor.current?.selected()
    const statements = editor.current?.statements() ?? []
    const cursor = editor.current?.cursor() ?? 0
    const atCursor = statements.findLast(({ from }) => from <= cursor) ?? statements[0]
    void run([selected ?? atCursor].filter(statement => !!statement))
  }
  const runAll = () => void run(editor.current?.statements() ?? [])

  // A query that was opened by its address brings its text along; one that was run from here has it in the editor.
  const shown = seen?.handle === handle ? seen : null
  const tab = tabs.find(one => one.handle === handle)
  const [brought, setBrought] = useState<string | null>(null)
  useEffect(() => {
    if (!ready || !shown || tab || brought === shown.handle) return
    setBrought(shown.handle)
    if (editor.current?.text() !== shown.sql) editor.current?.setText(shown.sql)
  }, [ready, shown, tab, brought])

  // A failed statement is marked where its engine found the fault.
  const message = shown?.error?.message ?? null
  useEffect(() => {
    if (!ready || !shown || message === null) return
    const place = errorPlaceOf(message, shown.sql)
    const from = tab?.statement.from ?? 0
    const unchanged = editor.current?.text().slice(from, from + shown.sql.length) === shown.sql
    if (place && unchanged) editor.current?.mark({ from: from + place.from, to: from + place.to, message })
  }, [ready, shown?.handle, message])

  const onReady = useCallback(() => setReady(true), [])
  return (
    <Page
      wide
      title="Query"
      actions={
        <Button aria-expanded={showHistory} aria-pressed={showHistory} onClick={() => setShowHistory(!showHistory)}>
          History
        </Button>
      }
    >
      <div class={showHistory ? 'query-page with-history' : 'query-page'}>
        <div class="query-main">
          <section class="card query-write" aria-label="Statement">
            <Editor editor={editor} tables={tables} onRun={runOne} onReady={onReady} />
            <div class="query-bar">
              <Settings value={settings} engines={engines} onChange={setSettings} />
              <div class="query-buttons">
                <Button onClick={runAll} disabled={!ready || busy} title="All statements, one after another">
                  Run all
                </Button>
                <Button
                  kind="primary"
                  onClick={runOne}
                  disabled={!ready || busy}
                  title="Ctrl-Enter: the selection, or the statement at the cursor"
                >
                  {busy ? 'Running…' : 'Run'}
                </Button>
              </div>
            </div>
          </section>
          {failure ? <ErrorNote error={failure} /> : null}
          {tabs.length > 1 ? (
            <nav class="query-tabs" aria-label="Statements of this run">
              {tabs.map((one, index) => (
                <a
                  key={one.handle}
                  class="button small"
                  href={`/queries/${one.handle}`}
                  aria-current={one.handle === handle ? 'page' : undefined}
                >
                  {index + 1}
                </a>
              ))}
            </nav>
          ) : null}
          {handle ? <RunView key={handle} handle={handle} onSeen={setSeen} /> : null}
        </div>
        {showHistory ? (
          <History engines={engines} current={handle} turn={`${handle}:${shown?.outcome ?? shown?.status}`} />
        ) : null}
      </div>
    </Page>
  )
}
