/** Order of start and stop, and that one failure leaves nothing running. */
import test from 'ava'
import { type Service, startInOrder, stopInReverse } from '../../src/async/index.ts'

function recorded(failing: Partial<Record<'start' | 'stop', string>> = {}) {
  const calls: string[] = []
  const service = (name: string): Service => ({
    async start() {
      calls.push(`start ${name}`)
      if (failing.start === name) throw new Error(`${name} does not start`)
    },
    async stop() {
      calls.push(`stop ${name}`)
      if (failing.stop === name) throw new Error(`${name} does not stop`)
    },
  })
  return { calls, services: ['a', 'b', 'c'].map(service) }
}

test('started in order, stopped in reverse', async t => {
  const { calls, services } = recorded()
  await startInOrder(services)
  await stopInReverse(services)
  t.deepEqual(calls, ['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a'])
})

test('when one does not start, those before it are stopped, and its failure is told', async t => {
  const { calls, services } = recorded({ start: 'c' })
  await t.throwsAsync(startInOrder(services), { message: 'c does not start' })
  t.deepEqual(calls, ['start a', 'start b', 'start c', 'stop b', 'stop a'])
})

test('when one does not stop, the others are stopped all the same, and the failure is told', async t => {
  const { calls, services } = recorded({ stop: 'b' })
  await t.throwsAsync(stopInReverse(services), { message: 'b does not stop' })
  t.deepEqual(calls, ['stop c', 'stop b', 'stop a'])
})
