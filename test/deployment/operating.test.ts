/** The operators’ handbook knows every metric and every line of the log that asks for attention, and none that does not exist. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { createMetrics } from '../../src/observability/index.ts'
import { filesBelow, read, withoutComments } from '../house/sources.ts'

const handbook = readFileSync(new URL('../../docs/operating.md', import.meta.url), 'utf8')

test('every metric is explained, and every explained one exists', async t => {
  const metrics = createMetrics()
  t.teardown(() => metrics.close())
  const existing = [...(await metrics.text()).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name as string)
  t.true(existing.length > 20)
  const explained = [...handbook.matchAll(/^\| `((?:lens|process)_\w+)/gm)].map(([, name]) => name as string)
  t.deepEqual([...explained].sort(), [...new Set(existing)].sort())
  // Those of a histogram end in what Prometheus puts behind its name.
  for (const [name] of handbook.matchAll(/\blens_[a-z_]+\b/g))
    t.true(existing.includes(name.replace(/_(bucket|sum|count)$/, '')), name)
})

/** The messages of warnings and errors in a source, `…` for what is put in, with the line where each is written. */
function messagesOf(path: string): { readonly message: string | null; readonly at: string }[] {
  const source = withoutComments(read(path))
  return [...source.matchAll(/\b(?:log|logger)\??\.(?:warn|error|fatal)\(/g)].map(match => {
    const at = `${path}:${source.slice(0, match.index).split('\n').length}`
    const args = inParentheses(source, match.index + match[0].length)
    const texts = [...args.matchAll(/'((?:\\.|[^'\\\n])*)'\s*,?\s*$|`((?:\\.|[^`\\])*)`\s*,?\s*$/g)]
    const text = texts[0]?.[1] ?? texts[0]?.[2]
    return { at, message: text?.replace(/\$\{[^}]*\}/g, '…') ?? null }
  })
}

/** What stands from here to the parenthesis that closes. */
function inParentheses(source: string, from: number): string {
  let depth = 1
  const pattern = /'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|[()]/g
  pattern.lastIndex = from
  for (let found = pattern.exec(source); found; found = pattern.exec(source)) {
    if (found[0] === '(') depth++
    if (found[0] === ')' && --depth === 0) return source.slice(from, found.index)
  }
  throw new Error('not closed')
}

test('every line of the log from warnings upwards is explained, and every explained one exists', t => {
  // What browsers and commands write is read by who sits before them.
  const sources = filesBelow('src', ['.ts']).filter(path => !/^src\/(console|client|cli)\//.test(path))
  const written = sources.flatMap(messagesOf)
  t.true(written.length > 50)
  t.deepEqual(
    written.filter(({ message }) => message === null),
    [],
    'a message that is no plain text cannot be looked up',
  )
  const section = /## Lines of the log\n([\s\S]*?)\n## /.exec(handbook)?.[1] ?? ''
  // Messages have what to do beside what they mean; the table of keys has two columns.
  const explained = [...section.matchAll(/^\| `([^`]+)` \|[^|]*\|[^|]*\|$/gm)].map(([, message]) => message as string)
  const messages = [...new Set(written.map(({ message }) => message as string))]
  t.deepEqual(
    messages.filter(message => !explained.includes(message)),
    [],
    'not explained',
  )
  t.deepEqual(
    explained.filter(message => !messages.includes(message)),
    [],
    'explained, but never written',
  )
  t.is(new Set(explained).size, explained.length, 'explained twice')
})
