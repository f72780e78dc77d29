import test from 'ava'
import { systemClock, systemRandom } from '../../src/async/index.ts'
import { openEngines } from '../../src/engines/index.ts'

const slots = { light: 1, heavy: 1 }
const silent = { info() {}, warn() {}, error() {} }

test('engines are chosen by name or group, the first is the default, and a failed one is left out', t => {
  const engines = openEngines(
    {
      engines: {
        first: { driver: 'duckdb', tables: {}, slots },
        second: { driver: 'duckdb', tables: {}, slots, group: 'pool' },
        third: { driver: 'duckdb', tables: {}, slots, group: 'pool' },
      },
    },
    { clock: systemClock, random: systemRandom, logger: silent },
  )
  const name = (asked: string | null) => engines.choose(asked)?.name
  const names = (asked: string | null, except: string | null = null) =>
    engines.candidates(asked, except).map(driver => driver.name)
  t.deepEqual(
    engines.drivers.map(driver => driver.name),
    ['first', 'second', 'third'],
  )
  t.is(name(null), 'first')
  t.is(name('third'), 'third')
  t.is(name('pool'), 'second')
  t.is(name('nobody'), undefined)
  t.deepEqual(names('pool'), ['second', 'third'])
  t.deepEqual(names('pool', 'second'), ['third'])
  t.deepEqual(names('second'), ['second'])
  t.deepEqual(names('second', 'second'), ['third'])
  t.deepEqual(names('first', 'first'), ['first'])
  t.deepEqual(names('nobody'), [])
  t.is(name(''), undefined)
})

test('of a group, the healthy one is chosen', async t => {
  const engines = openEngines(
    {
      engines: {
        one: { driver: 'duckdb', tables: {}, slots, group: 'pool' },
        two: { driver: 'duckdb', tables: {}, slots, group: 'pool' },
      },
    },
    { clock: systemClock, random: systemRandom, logger: silent },
  )
  t.teardown(() => engines.stop())
  await engines.start()
  t.is(engines.choose('pool')?.name, 'one')
  t.is(engines.candidates('pool', null).length, 2)
  await engines.choose('one')?.stop()
  t.is(engines.choose('pool')?.name, 'two')
})
