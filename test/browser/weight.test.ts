/** What a browser has to load before the page can be used: little, and nothing that is needed only later. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { builtConsole } from '../support/console-build.ts'
import { TestCluster } from '../support/nodes.ts'
import { signIn, testBrowser } from './support.ts'

const browser = testBrowser(test)
const bytesMax = 300_000

interface Chunk {
  readonly file: string
  readonly css?: readonly string[]
  readonly imports?: readonly string[]
}

test('each page is below 300 kB compressed before its first use', async t => {
  const folder = await builtConsole()
  const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as Record<string, Chunk>
  const filesOf = (name: string, found = new Set<string>()): Set<string> => {
    const chunk = manifest[name]
    if (!chunk || found.has(chunk.file)) return found
    found.add(chunk.file)
    for (const css of chunk.css ?? []) found.add(css)
    for (const other of chunk.imports ?? []) filesOf(other, found)
    return found
  }
  const pages = Object.keys(manifest).filter(name => /^\w+\/index\.tsx$/.test(name))
  t.deepEqual(
    pages.map(page => page.split('/')[0]),
    ['cluster', 'machines', 'query', 'sessions'],
  )
  for (const page of pages) {
    const files = new Set([...filesOf('index.html'), ...filesOf(page)])
    // The worse of the two encodings that a node serves.
    const sizes = await Promise.all([...files].map(async file => (await readFile(join(folder, `${file}.gz`))).length))
    const bytes = sizes.reduce((sum, size) => sum + size, 0)
    t.log(`${page}: ${bytes} bytes in ${files.size} files`)
    t.true(bytes > 10_000 && bytes <= bytesMax, `${page}: ${bytes} bytes`)
  }
})

test('until the editor can be used the browser has loaded less than that', async t => {
  const cluster = new TestCluster(null)
  t.teardown(() => cluster.stop())
  const nodes = await cluster.startAll(1)
  const page = await browser.open(t, { nodes })
  await signIn(page, 'ada')
  await page.getByRole('textbox', { name: 'SQL' }).waitFor()
  const bytes = await page.evaluate(() =>
    [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
      .filter(({ name }) => !new URL(name).pathname.startsWith('/api/'))
      .reduce((sum, entry) => sum + (entry as PerformanceResourceTiming).encodedBodySize, 0),
  )
  t.log(`${bytes} bytes`)
  t.true(bytes > 10_000 && bytes <= bytesMax, `${bytes} bytes`)
})
