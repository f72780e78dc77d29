/**
 * The SQL editor: CodeMirror, in a chunk of its own. It lives in a shadow root, where its styles are adopted style sheets:
 * the content security policy of a node admits no style element.
 */
import {
  acceptCompletion,
  autocompletion,
  type Completion,
  type CompletionContext,
  type CompletionResult,
  closeBrackets,
  closeBracketsKeymap,
  closeCompletion,
  completionKeymap,
} from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { PostgreSQL, sql } from '@codemirror/lang-sql'
import {
  bracketMatching,
  ensureSyntaxTree,
  HighlightStyle,
  indentOnInput,
  syntaxHighlighting,
} from '@codemirror/language'
import { setDiagnostics } from '@codemirror/lint'
import { Compartment, EditorState, Prec } from '@codemirror/state'
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
  placeholder,
} from '@codemirror/view'
import { tags } from '@lezer/highlight'
import type { TableView } from '../../client/index.ts'
import type { ErrorPlace } from './error-place.ts'

/** A statement and where it stands in the document. */
export interface Statement {
  readonly text: string
  readonly from: number
}

export interface SqlEditor {
  text(): string
  setText(text: string): void
  /** What is selected; null when nothing is. */
  selected(): Statement | null
  /** All statements, without their semicolons and what stands around them. */
  statements(): Statement[]
  /** Where the cursor is. */
  cursor(): number
  setTables(tables: readonly TableView[]): void
  /** Marks a place of the document as wrong; null removes all marks. */
  mark(error: (ErrorPlace & { readonly message: string }) | null): void
  focus(): void
  destroy(): void
}

export interface EditorOptions {
  readonly parent: HTMLElement
  readonly text: string
  readonly onRun: () => void
  readonly onChange: (text: string) => void
}

const theme = EditorView.theme({
  '&': { fontSize: '13.5px', color: 'var(--text)', backgroundColor: 'var(--surface)', height: '100%' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55', overflow: 'auto' },
  '.cm-content': { caretColor: 'var(--text)', padding: '8px 0' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '.cm-gutters': { backgroundColor: 'var(--surface)', color: 'var(--text-2)', border: 'none' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'color-mix(in srgb, var(--accent) 7%, transparent)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'color-mix(in srgb, var(--accent) 28%, transparent)',
  },
  '.cm-placeholder': { color: 'var(--text-2)' },
  '.cm-tooltip': { backgroundColor: 'var(--surface)', color: 'var(--text)', border: '1px solid var(--border-strong)' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', maxHeight: '14em' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': {
    backgroundColor: 'var(--accent-solid)',
    color: 'var(--on-accent)',
  },
  '.cm-completionDetail': { color: 'inherit', opacity: '0.75', fontStyle: 'normal' },
  '.cm-diagnostic-error': { borderLeftColor: 'var(--bad)', whiteSpace: 'pre-wrap', fontFamily: 'var(--mono)' },
})

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: 'light-dark(#7a2ea8, #cf9bf2)', fontWeight: '600' },
  { tag: [tags.string, tags.special(tags.string)], color: 'light-dark(#14693a, #7fd8a4)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'light-dark(#9a4a00, #f0b072)' },
  { tag: tags.typeName, color: 'light-dark(#0b6478, #74cfe2)' },
  { tag: [tags.lineComment, tags.blockComment], color: 'var(--text-2)', fontStyle: 'italic' },
  { tag: [tags.operator, tags.punctuation], color: 'var(--text-2)' },
])

/**
 * Typing over several lines: left to itself, Chromium joins them with inline styles, which the content security policy
 * refuses with an error in its console. Here the same is done as a change of the document.
 */
const typeOverSelection = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { from, to } = view.state.selection.main
    const { data, inputType } = event
    if (inputType !== 'insertText' || !data || from === to || view.composing) return false
    event.preventDefault()
    const insert = () =>
      view.state.update({
        changes: { from, to, insert: data },
        selection: { anchor: from + data.length },
        scrollIntoView: true,
        userEvent: 'input.type',
      })
    // Such as brackets that close themselves around what is selected.
    const handled = view.state.facet(EditorView.inputHandler).some(handle => handle(view, from, to, data, insert))
    if (!handled) view.dispatch(insert())
    return true
  },
})

export function createEditor({ parent, text, onRun, onChange }: EditorOptions): SqlEditor {
  const root = parent.shadowRoot ?? parent.attachShadow({ mode: 'open' })
  const language = new Compartment()
  const run = (view: EditorView) => {
    closeCompletion(view)
    onRun()
    return true
  }
  const view = new EditorView({
    root,
    parent: root as unknown as HTMLElement,
    state: EditorState.create({
      doc: text,
      extensions: [
        Prec.highest(keymap.of([{ key: 'Mod-Enter', run }])),
        // Tab moves on, as everywhere; only where a completion is offered does it take that.
        Prec.high(keymap.of([{ key: 'Tab', run: acceptCompletion }])),
        lineNumbers(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        history(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        autocompletion({ icons: false, filterStrict: true }),
        EditorView.lineWrapping,
        placeholder('select … from …    Ctrl-Enter runs it'),
        keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...defaultKeymap]),
        language.of(languageOf([])),
        syntaxHighlighting(colours),
        typeOverSelection,
        theme,
        EditorView.contentAttributes.of({ 'aria-label': 'SQL', autocapitalize: 'off', spellcheck: 'false' }),
        EditorView.updateListener.of(update => {
          if (update.docChanged) onChange(update.state.doc.toString())
        }),
      ],
    }),
  })
  return {
    text: () => view.state.doc.toString(),
    setText: next => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next } }),
    selected() {
      const { from, to } = view.state.selection.main
      return trimmed(view.state.sliceDoc(from, to), from)
    },
    statements: () => statementsOf(view.state),
    cursor: () => view.state.selection.main.head,
    setTables: tables => view.dispatch({ effects: language.reconfigure(languageOf(tables)) }),
    mark(error) {
      const end = view.state.doc.length
      const marks = error
        ? [
            {
              from: Math.min(error.from, end),
              to: Math.min(error.to, end),
              severity: 'error' as const,
              message: error.message,
            },
          ]
        : []
      view.dispatch(setDiagnostics(view.state, marks))
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  }
}

function languageOf(tables: readonly TableView[]) {
  const column = ({ name, type }: TableView['columns'][number]): Completion => ({
    label: name,
    type: 'property',
    detail: type,
  })
  const schema = Object.fromEntries(tables.map(table => [table.name, table.columns.map(column)]))
  /** Columns without their table's name: of the tables that the document mentions. */
  const columns = (context: CompletionContext): CompletionResult | null => {
    const word = context.matchBefore(/\w+/)
    if (!word && !context.explicit) return null
    const document = context.state.doc.toString().toLowerCase()
    const options = tables.flatMap(table =>
      new RegExp(`\\b${table.name.toLowerCase().replace(/\W/g, '\\$&')}\\b`).test(document)
        ? table.columns.map(found => ({ ...column(found), detail: `${found.type} · ${table.name}`, boost: 1 }))
        : [],
    )
    return options.length === 0 ? null : { from: word?.from ?? context.pos, options, validFor: /^\w*$/ }
  }
  return [sql({ dialect: PostgreSQL, schema }), PostgreSQL.language.data.of({ autocomplete: columns })]
}

function statementsOf(state: EditorState): Statement[] {
  const tree = ensureSyntaxTree(state, state.doc.length, 1_000)
  if (!tree) return [trimmed(state.doc.toString(), 0)].filter(found => found !== null)
  const found: Statement[] = []
  for (let node = tree.topNode.firstChild; node; node = node.nextSibling) {
    if (node.name !== 'Statement') continue
    const statement = trimmed(state.sliceDoc(node.from, node.to), node.from)
    if (statement) found.push(statement)
  }
  return found
}

/** Without the space around it and its semicolons; null when nothing is left. */
function trimmed(text: string, from: number): Statement | null {
  const start = text.length - text.trimStart().length
  const inner = text.trim().replace(/[;\s]+$/, '')
  return inner === '' ? null : { text: inner, from: from + start }
}
