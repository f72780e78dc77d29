import test from 'ava'
import type { QueryView } from '../../src/domain/index.ts'
import { ViewMemory } from '../../src/gateway/view-memory.ts'

/** What the memory looks at; it hands everything else back as it came. */
const view = (handle: string, version: number, texts: { sql?: string; plan?: string } = {}): QueryView =>
  ({ handle, version, sql: texts.sql ?? '', plan: texts.plan ?? null }) as QueryView

test('a view answers for its own version and epoch only', t => {
  const memory = new ViewMemory(10_000)
  const second = view('a', 2)
  memory.keep(second, 1)
  t.is(memory.at({ handle: 'a', version: 2, epoch: 1 }), second)
  t.is(memory.at({ handle: 'a', version: 3, epoch: 1 }), undefined)
  t.is(memory.at({ handle: 'a', version: 2, epoch: 2 }), undefined)
  memory.keep(view('a', 1), 1)
  t.is(memory.at({ handle: 'a', version: 2, epoch: 1 }), second, 'what came late replaces nothing')
  memory.forget('a')
  t.is(memory.at({ handle: 'a', version: 2, epoch: 1 }), undefined)
})

test('the oldest make room for their size, texts and plans counted', t => {
  const memory = new ViewMemory(20_000)
  const here = (handle: string) => memory.at({ handle, version: 1, epoch: 1 }) !== undefined
  for (const handle of ['a', 'b', 'c']) memory.keep(view(handle, 1, { sql: 's'.repeat(2_000) }), 1)
  t.deepEqual(['a', 'b', 'c'].map(here), [true, true, true])
  memory.keep(view('d', 1, { sql: 's'.repeat(2_000), plan: 'p'.repeat(10_000) }), 1)
  t.deepEqual(['a', 'b', 'c', 'd'].map(here), [false, true, true, true])
  // Kept again it is new, and counts once.
  memory.keep(view('b', 1, { sql: 's'.repeat(2_000) }), 1)
  memory.keep(view('e', 1, { sql: 's' }), 1)
  t.deepEqual(['b', 'c', 'd', 'e'].map(here), [true, false, true, true])
  memory.keep(view('f', 1, { sql: 's'.repeat(30_000) }), 1)
  t.deepEqual(['b', 'd', 'e', 'f'].map(here), [false, false, false, false], 'larger than all it may take')
  for (let index = 0; index < 100; index++) memory.keep(view('g', index), 1)
  t.truthy(memory.at({ handle: 'g', version: 99, epoch: 1 }))
})
