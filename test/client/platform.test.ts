/** The library is for browsers too: what it imports, all the way down, must be what a browser has. */
import { readFile } from 'node:fs/promises'
import test from 'ava'

const entry = new URL('../../src/client/index.ts', import.meta.url)

test('imports nothing of Node and no package, and names no global of Node', async t => {
  const seen = new Set<string>()
  const visit = async (file: URL): Promise<void> => {
    if (seen.has(file.href)) return
    seen.add(file.href)
    const source = await readFile(file, 'utf8')
    const code = source.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '')
    t.notRegex(code, /\b(process|Buffer|__dirname|require|setImmediate)\b/, file.pathname)
    // Imports of types only are gone when it runs.
    for (const [, specifier] of code.matchAll(/^(?:import|export)\s(?!type\b)[^'"]*?from\s*'([^']+)'/gm)) {
      t.regex(specifier as string, /^\.\.?\//, `${file.pathname} imports ${specifier}`)
      await visit(new URL(specifier as string, file))
    }
    t.notRegex(code, /\bimport\s*\(|^import\s*'/m, file.pathname)
  }
  await visit(entry)
  t.true(seen.size > 10)
})
