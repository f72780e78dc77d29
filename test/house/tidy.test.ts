/** Habits that a reader can check, checked: time and chance are arguments, files stay small, nothing is left half done. */
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import test from 'ava'
import { filesBelow, read, root, withoutComments } from './sources.ts'

const sources = filesBelow('src', ['.ts', '.tsx', '.js'])
const tests = filesBelow('test', ['.ts'])
const pages = [
  ...filesBelow('docs', ['.md']),
  ...['README.md', 'CHANGELOG.md'].filter(path => existsSync(join(root, path))),
]
/** Where npm installs something: the project, and what only the benchmark measures beside it. */
const manifests = ['.', 'test/benchmark/peers']
const scripts = ['.ci/run', ...filesBelow('docker', [''])]

/** Lines of files in which a pattern occurs, as `file:line: text`. */
function occurrences(paths: readonly string[], pattern: RegExp, prepare = (source: string) => source): string[] {
  return paths.flatMap(path =>
    prepare(read(path))
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  )
}

test('time and chance are arguments: only async touches the globals', t => {
  // The client and the console run where our clock does not exist, and take theirs as options with these defaults.
  const free = sources.filter(path => !/^src\/(async|client|console)\/|^src\/bin\.js$/.test(path))
  const globals =
    /\bDate\.now\(|\bMath\.random\(|\bperformance\.now\(|(?<![.\w])(setTimeout|setInterval)\((?!\w+: )|\bnode:timers|\bnew Date\(\)|\bcrypto\.randomUUID\(|\brandomUUID\(|\brandomBytes\(/
  t.deepEqual(occurrences(free, globals, withoutComments), [])
})

test('no source file has more than 400 lines', t => {
  t.deepEqual(
    sources.map(path => `${path}: ${read(path).split('\n').length}`).filter(line => Number(line.split(': ')[1]) > 401),
    [],
  )
})

test('every source file opens with why it exists', t => {
  const bare = sources.filter(path => {
    if (basename(path) === 'index.ts') return false
    return !/^(#!.*\n)?(import [\s\S]*?from '[^']*'\n)*\n?\/\*\*/.test(read(path))
  })
  t.deepEqual(bare, [])
})

test('no file or folder is called after nothing', t => {
  const empty = /^(.*-)?(managers?|helpers?|utils?|utilities|common|misc|stuff)(-.*)?$/i
  const bad = [...sources, ...tests].filter(path =>
    path.split('/').some(part => empty.test(part.replace(/\.(test\.)?[jt]sx?$/, ''))),
  )
  t.deepEqual(bad, [])
})

test('no class, type or function is called after nothing', t => {
  const empty =
    /^\s*(?:export\s+)?(?:default\s+)?(?:abstract\s+)?(?:async\s+)?(?:class|interface|type|function|const)\s+\w*(?:Manager|Helper|Utils?|Common)\b/
  t.deepEqual(occurrences(sources, empty, withoutComments), [])
})

test('private state is #field', t => {
  // `protected` stays for what subclasses share; a private constructor has no other form.
  t.deepEqual(occurrences(sources, /^\s*private\s(?!constructor)/, withoutComments), [])
})

test('nothing is left half done', t => {
  // Put together here, so that this line does not find itself.
  const marks = new RegExp(
    `\\b(${['TO', 'FIX', 'XX', 'HA'].map((start, index) => start + ['DO', 'ME', 'X', 'CK'][index]).join('|')})\\b`,
  )
  t.deepEqual(occurrences([...sources, ...tests, ...pages, ...scripts], marks), [])
})

test('no test is skipped, alone, or expected to fail', t => {
  t.deepEqual(
    occurrences(tests, /\btest(?:\.\w+)*\.(?:skip|only|failing|todo)\b|\bt\.\w*\.?skip\b/, withoutComments),
    [],
  )
})

test('tests mirror the sources: every folder of tests is a part of src or a level of its own', t => {
  const levels = [
    'conformance',
    'system',
    'simulation',
    'model',
    'faults',
    'browser',
    'benchmark',
    'fixtures',
    'fuzz',
    'support',
    'house',
    'deployment',
    'soak',
    'node',
  ]
  const folders = new Set(tests.map(path => path.split('/')[1] as string))
  t.deepEqual(
    [...folders].filter(
      name => !levels.includes(name) && !existsSync(join(root, 'src', name)) && !name.endsWith('.ts'),
    ),
    [],
  )
})

test('relative links of the pages lead somewhere', t => {
  const broken = pages.flatMap(path =>
    [
      ...read(path)
        .replace(/```[\s\S]*?```/g, '')
        .matchAll(/\]\(([^)\s]+)\)/g),
    ].flatMap(([, link = '']) => {
      if (/^([a-z]+:|#)/i.test(link)) return []
      const file = join(root, dirname(path), decodeURIComponent(link.split('#')[0] as string))
      return existsSync(file) ? [] : [`${path}: ${link}`]
    }),
  )
  t.deepEqual(broken, [])
})

test('links to a heading of a page find it', t => {
  const slug = (heading: string) =>
    heading
      .trim()
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-')
  const broken = pages.flatMap(path =>
    [...read(path).matchAll(/\]\(([^)\s:]*\.md)?#([^)\s]+)\)/g)].flatMap(([, file = '', anchor]) => {
      const page = file === '' ? path : join(dirname(path), file)
      if (!existsSync(join(root, page))) return []
      const headings = [...read(page).matchAll(/^#+\s+(.*)$/gm)].map(match => slug(match[1] as string))
      return headings.includes(anchor as string) ? [] : [`${path}: ${file}#${anchor}`]
    }),
  )
  t.deepEqual(broken, [])
})

test('no path of somebody’s machine is in the project', t => {
  const here = root.split('/').length > 2 ? `|${root.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\b` : ''
  const machine = new RegExp(`(?<![\\w$.{}-])/(?:home|Users|root)/\\w${here}`)
  t.deepEqual(
    occurrences([...sources, ...tests, ...pages, ...scripts, 'package.json', 'package-lock.json'], machine),
    [],
  )
})

test('lock files name every platform’s packages, so that npm ci accepts them everywhere', t => {
  const missing = manifests.flatMap(folder => {
    const { packages } = JSON.parse(read(join(folder, 'package-lock.json'))) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>
    }
    return Object.entries(packages).flatMap(([parent, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies)
        .filter(name => !(`node_modules/${name}` in packages) && !(`${parent}/node_modules/${name}` in packages))
        .map(name => `${join(folder, parent)}: ${name}`),
    )
  })
  t.deepEqual(missing, [])
})

test('lock files name no registry', t => {
  const locks = manifests.map(folder => join(folder, 'package-lock.json'))
  t.deepEqual(occurrences(locks, /"resolved": "http/), [])
})

for (const folder of manifests)
  test(`versions of dependencies are exact in ${folder}`, t => {
    const { dependencies, devDependencies, optionalDependencies } = JSON.parse(
      read(join(folder, 'package.json')),
    ) as Record<string, Record<string, string>>
    const all = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })
    t.deepEqual(
      all.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
      [],
    )
  })
