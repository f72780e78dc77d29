/** The engine process ends with its node, however the node dies, and leaves nothing behind. */
import { existsSync, readlinkSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { failureOf, query } from '../conformance/engines.ts'
import { eventually } from '../support/conditions.ts'
import { temporaryFolder } from '../support/folders.ts'
import { isAlive, startProcess } from '../support/processes.ts'
import { memoryBytesOf, openDuckDb } from './support.ts'

const engines = new URL('../../src/engines/index.ts', import.meta.url).href
const asynchronous = new URL('../../src/async/index.ts', import.meta.url).href

// A node in small: opens an engine, runs something long, says the engine's pid.
const node = `
import { openEngines } from '${engines}'
import { systemClock, systemRandom } from '${asynchronous}'
const say = fields => { if (fields.enginePid) console.log(JSON.stringify(fields)) }
const engines = openEngines(
  { engines: { duckdb: { driver: 'duckdb', tables: {}, slots: { light: 2, heavy: 1 } } } },
  { clock: systemClock, random: systemRandom, logger: { info: say, warn() {}, error() {} } },
)
await engines.start()
const request = (handle, isolated) => ({ handle, attempt: 1, sql: 'SELECT count(*) FROM range(100000000) a, range(100000) b WHERE (a.range * b.range) % 1000003 = 5', parameters: [], database: null, properties: {}, isolated })
await engines.choose(null).submit(request('shared', false), async () => {})
await engines.choose(null).submit(request('isolated', true), async () => {})
console.log(JSON.stringify({ running: true }))
process.on('SIGINT', () => {})
setInterval(() => {}, 1000)
`

for (const signal of ['SIGKILL', 'SIGTERM'] as const)
  test(`a node ended by ${signal} takes its engine processes and their folders with it`, async t => {
    const folder = await temporaryFolder(t, 'node')
    await writeFile(join(folder, 'node.ts'), node)
    const started = startProcess(t, process.execPath, [
      '--disable-warning=ExperimentalWarning',
      join(folder, 'node.ts'),
    ])
    await eventually(() => started.out.includes('running'), Boolean, { what: started.err })
    const pids = started.out
      .trim()
      .split('\n')
      .map(line => JSON.parse(line).enginePid)
      .filter(pid => typeof pid === 'number')
    t.is(pids.length, 2)
    const folders = pids.map(pid => readlinkSync(`/proc/${pid}/cwd`))
    t.true(folders.every(existsSync))
    // What a terminal sends to the whole group is the node's business alone.
    for (const pid of pids) process.kill(pid, 'SIGINT')
    t.true(pids.every(isAlive))
    process.kill(started.pid as number, signal)
    await eventually(() => pids.every(pid => !isAlive(pid)), Boolean, { what: 'the end of the engine processes' })
    await eventually(() => !folders.some(existsSync), Boolean, { what: 'the end of their folders' })
  })

test('a killed engine process leaves no folder', async t => {
  const { driver, pid } = await openDuckDb(t, { 'items.csv': 'id\n1\n' })
  const first = pid()
  const folder = readlinkSync(`/proc/${first}/cwd`)
  process.kill(first, 'SIGKILL')
  await eventually(() => pid() !== first)
  t.deepEqual((await query(driver, 'SELECT * FROM items')).rows, [['1']])
  t.false(existsSync(folder))
})

test('memory has its bound, and a statement beyond it fails alone', async t => {
  const memoryBytesMax = 128 * 1024 * 1024
  const { driver, pid } = await openDuckDb(t, {}, { memoryBytesMax, threads: 2 })
  const before = await memoryBytesOf(pid())
  const error = await failureOf(() =>
    query(driver, "SELECT count(DISTINCT x) FROM (SELECT list(range || repeat('x', 1000)) AS x FROM range(2000000))"),
  )
  t.is(error.failure, 'failed')
  t.regex(error.message, /memory/i)
  t.true((await memoryBytesOf(pid())) - before < 4 * memoryBytesMax)
  t.deepEqual((await query(driver, 'SELECT 1')).rows, [[1]])
})
