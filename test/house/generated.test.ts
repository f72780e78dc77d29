/** Schema, catalogue and what is written about them are the same: pages, default file, and what the code really does with them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { parse } from 'yaml'
import { generatedPages } from '../../docs/generate.ts'
import { configSchema, loadConfig, type SchemaNode, variableOf } from '../../src/config/index.ts'
import { errorCatalogue } from '../../src/domain/errors.ts'
import { temporaryFolder } from '../support/folders.ts'
import { filesBelow, read, root, withoutComments } from './sources.ts'

for (const [path, content] of Object.entries(generatedPages())) {
  test(`${path} is what \`npm run docs\` makes`, t => {
    t.is(readFileSync(join(root, path), 'utf8'), content, 'run: npm run docs')
  })
}

test('config/default.yaml, loaded, gives the defaults', async t => {
  const cwd = await temporaryFolder(t)
  const file = join(root, 'config/default.yaml')
  t.deepEqual(JSON.parse(JSON.stringify(loadConfig({ cwd, file }))), JSON.parse(JSON.stringify(loadConfig({ cwd }))))
})

test('config/default.yaml has every key that has a default, with that default', t => {
  const written = parse(read('config/default.yaml')) as unknown
  for (const [path, node] of leavesOf(configSchema as SchemaNode)) {
    const value = path.reduce<unknown>((tree, key) => (tree as Record<string, unknown> | undefined)?.[key], written)
    t.deepEqual(value, node.default, path.join('.'))
  }
})

test('every key has a sentence, and a default that it would accept or a word on where it comes from', t => {
  for (const [path, node] of leavesOf(configSchema as SchemaNode)) {
    const key = path.join('.')
    t.regex(node.description ?? '', /^[A-Z`].{10,}[.]$/s, key)
    if (node.type === 'integer') t.true(node.minimum !== undefined && node.maximum !== undefined, `${key} has no range`)
    if (node.type === 'integer' && node.default !== undefined) {
      t.notThrows(() => loadConfig({ makeSecret: false, env: { [variableOf(key)]: String(node.default) } }), key)
    }
  }
})

test('every key is read somewhere: a key without effect is a lie', t => {
  const code = filesBelow('src', ['.ts'])
    .filter(path => !path.startsWith('src/config/'))
    .map(path => withoutComments(read(path)))
    .join('\n')
  const unused = [...leavesOf(configSchema as SchemaNode)].filter(
    ([path]) => !new RegExp(`\\b${path.at(-1)}\\b`).test(code),
  )
  t.deepEqual(
    unused.map(([path]) => path.join('.')),
    [],
  )
})

test('units come last in the names of keys', t => {
  for (const [path, node] of leavesOf(configSchema as SchemaNode)) {
    const name = path.at(-1) as string
    t.is(node.unit === 'ms', name.endsWith('Ms'), path.join('.'))
    t.is(node.unit === 'bytes', /(^b|B)ytes(Max)?$/.test(name), path.join('.'))
  }
})

test('every error code is in docs/errors.md once, with its status', t => {
  const page = read('docs/errors.md')
  for (const [code, { status, when }] of Object.entries(errorCatalogue)) {
    const rows = page.split('\n').filter(line => line.startsWith(`| \`${code}\` |`))
    t.is(rows.length, 1, code)
    t.true(rows[0]?.includes(when), code)
    if (status !== null) t.true(rows[0]?.includes(`| ${status} |`), code)
  }
})

/** Leaves outside the map of engines, whose defaults depend on the name. */
function* leavesOf(node: SchemaNode, path: string[] = []): Generator<[string[], SchemaNode]> {
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    if (child.properties) yield* leavesOf(child, [...path, key])
    else if (!child.patternProperties) yield [[...path, key], child]
  }
}
