/** Lines of the log name the same thing by the same key: every key of every call is one that docs/operating.md explains. */
import test from 'ava'
import { filesBelow, read, withoutComments } from './sources.ts'

/** What `aboutQuery`, `aboutMember` and the like give: see src/observability/log-fields.ts. */
const helpers: Readonly<Record<string, readonly string[]>> = {
  aboutQuery: ['handle', 'session', 'epoch'],
  aboutMember: ['member', 'memberIncarnation'],
  aboutPeer: ['member', 'memberIncarnation', 'address'],
  aboutRequest: ['requestId', 'method', 'route', 'session', 'handle'],
}

interface Call {
  readonly place: string
  readonly keys: readonly string[]
}

/** The text from an opening bracket to the one that closes it. */
function balanced(source: string, from: number): string {
  let depth = 0
  for (let at = from; at < source.length; at++) {
    if ('({['.includes(source[at] as string)) depth++
    if (')}]'.includes(source[at] as string) && --depth === 0) return source.slice(from, at + 1)
  }
  throw new Error('a bracket is not closed')
}

/** Keys at the top of an object literal. */
function keysOf(literal: string): string[] {
  let depth = 0
  let top = ''
  for (const character of literal.slice(1, -1)) {
    if (')}]'.includes(character)) depth--
    if (depth === 0) top += character
    if ('({['.includes(character)) depth++
  }
  return top.split(',').flatMap(part => {
    const [, spread] = /^\s*\.\.\.(?:this\.#)?(\w+)/.exec(part) ?? []
    if (spread) return helpers[spread] ?? [`...${spread}`]
    const [, key] = /^\s*(\w+)/.exec(part) ?? []
    return key ? [key] : []
  })
}

function callsOf(path: string): Call[] {
  const source = withoutComments(read(path))
  const pattern = /\b(?:logger|log|#log)\??\.(?:trace|debug|info|warn|error|fatal)\(\s*/g
  return [...source.matchAll(pattern)].flatMap(match => {
    const at = match.index + match[0].length
    const place = `${path}:${source.slice(0, match.index).split('\n').length}`
    if (source[at] === '{') return [{ place, keys: keysOf(balanced(source, at)) }]
    const [, helper = ''] = /^(\w+)\(/.exec(source.slice(at)) ?? []
    return [{ place, keys: helpers[helper] ?? [`${source.slice(at, at + 20)}`] }]
  })
}

const calls = filesBelow('src', ['.ts'])
  .filter(path => !/^src\/(cli|client|console)\//.test(path))
  .flatMap(callsOf)
const page = read('docs/operating.md')
const section = page.slice(page.indexOf('## Lines of the log'), page.indexOf('The database:'))
const explained = new Set([...section.matchAll(/`(\w+)`/g)].map(([, name]) => name as string))
/** What a spread that is no helper holds; each is explained too. */
const spreads: Readonly<Record<string, readonly string[]>> = {
  ends: ['validUntil'],
  about: ['handle', 'session', 'epoch', 'attempt', 'engine', 'requestId'],
}
const keysIn = ({ keys }: Call) =>
  keys.flatMap(key => (key.startsWith('...') ? (spreads[key.slice(3)] ?? [key]) : [key]))

test('every key of a line is explained, so that one thing has one name', t => {
  t.true(calls.length > 90, `found ${calls.length} calls`)
  const unknown = calls.flatMap(call =>
    keysIn(call)
      .filter(key => !explained.has(key))
      .map(key => `${call.place}: ${key}`),
  )
  t.deepEqual(unknown, [])
})

test('who speaks is on every line by itself, and nobody else under that name', t => {
  const wrong = calls.filter(call => keysIn(call).includes('node')).map(({ place }) => place)
  t.deepEqual(wrong, [], 'another one is `member`')
  const others = calls.filter(
    call => keysIn(call).includes('incarnation') && !/cluster\/membership|src\/node/.test(call.place),
  )
  t.deepEqual(
    others.map(({ place }) => place),
    [],
    'another one is `memberIncarnation`',
  )
})

test('a line about a query says its session too', t => {
  const bare = calls.filter(call => keysIn(call).includes('handle') && !keysIn(call).includes('session'))
  // An engine knows no sessions; and of a query whose row cannot be read nothing else is known.
  const expected = /src\/engines\/|restoration\.ts/
  t.deepEqual(
    bare.filter(({ place }) => !expected.test(place)).map(({ place }) => place),
    [],
  )
})
