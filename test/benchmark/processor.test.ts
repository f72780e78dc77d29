/** The time of the processor that one operation costs. */
import test from 'ava'
import { ProcessorCost, processorMs } from './processor.ts'

const onLinux = process.platform === 'linux'

test('what a process has used so far grows with its work', t => {
  const before = processorMs(process.pid)
  for (const end = process.cpuUsage().user + 100_000; process.cpuUsage().user < end; );
  const used = processorMs(process.pid) - before
  t.true(onLinux ? used >= 80 : used === 0, `${used} ms`)
})

test('a cost is that of one operation', async t => {
  const cost = new ProcessorCost(process.pid, null)
  t.is(`${cost}`, '')
  const rate = await cost.of(async () => {
    const begin = performance.now()
    for (const end = process.cpuUsage().user + 200_000; process.cpuUsage().user < end; );
    // Ten operations in that time.
    return 10 / ((performance.now() - begin) / 1_000)
  })
  t.true(rate > 0)
  const said = /^(\d+) µs of the node$/.exec(`${cost}`)
  t.true(onLinux ? Number(said?.[1]) >= 15_000 : said === null, `${cost}`)
})

test('a process that is gone has used nothing', t => {
  t.is(processorMs(2 ** 30), 0)
})
