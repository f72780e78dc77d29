/** The text that sums up a CPU profile: whose time it was, and that idling is nobody's. */
import test from 'ava'
import { type CpuProfile, packageOf, profileHere, summaryOf } from './profile.ts'

function burnProcessor(forMs: number): number {
  let sum = 0
  for (const end = performance.now() + forMs; performance.now() < end; ) sum += Math.sqrt(sum + 1)
  return sum
}

test('the busiest function of this process is found', async t => {
  const { result, profile } = await profileHere(async () => burnProcessor(100))
  t.true(result > 0)
  t.regex(summaryOf('here', profile, 3), / ms {2}burnProcessor test\/benchmark\/profile\.test\.ts:\d+/)
})

test('time is summed by package and by function, idling apart', t => {
  const frame = (functionName: string, url: string) => ({ functionName, url, lineNumber: 4 })
  const profile: CpuProfile = {
    nodes: [
      { id: 1, callFrame: frame('(idle)', '') },
      { id: 2, callFrame: frame('parse', 'file:///x/node_modules/@scope/name/lib/parse.js') },
      { id: 3, callFrame: frame('writeBuffer', '') },
    ],
    samples: [1, 2, 2, 3],
    timeDeltas: [5_000, 2_000, 1_000, 1_000],
    ...{ startTime: 0, endTime: 9_000 },
  }
  t.deepEqual(summaryOf('n1', profile).split('\n'), [
    'n1: busy 4 ms of 9 ms (44 %)',
    ' by package',
    '   75.0 %       3 ms  @scope/name',
    '   25.0 %       1 ms  writes to sockets',
    ' by function',
    '   75.0 %       3 ms  parse @scope/name/lib/parse.js:5',
    '   25.0 %       1 ms  writeBuffer ',
  ])
})

test('a frame belongs to a package, to a folder of ours, to Node or to V8', t => {
  const of = (url: string, functionName = 'f') => packageOf({ functionName, url, lineNumber: 0 })
  const src = new URL('../../src/store/steps.ts', import.meta.url).href
  t.is(of(src), 'src/store')
  t.is(of('file:///x/node_modules/mysql2/lib/a.js'), 'mysql2')
  t.is(of('node:internal/streams/writable'), 'node:internal/streams')
  t.is(of('', '(garbage collector)'), '(garbage collector)')
  t.is(of('', 'writev'), 'writes to sockets')
  t.is(of('', 'stringify'), 'V8 and built-ins')
})
