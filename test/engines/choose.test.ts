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
  const name = (asked: string | null, except?: string | null) => engines.choose(asked, except)?.name
  t.deepEqual(
    engines.drivers.map(driver => driver.name),
    ['first', 'second', 'third'],
  )
  t.is(name(null), 'first')
  t.is(name('third'), 'third')
  t.is(name('pool'), 'second')
  t.is(name('pool', 'second'), 'third')
  t.is(name('second', 'second'), 'third')
  t.is(name('first', 'first'), 'first')
  t.is(name('nobody'), undefined)
  t.is(name('', null), undefined)
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
  await engines.choose('one')?.stop()
  t.is(engines.choose('pool')?.name, 'two')
})
