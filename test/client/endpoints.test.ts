import test from 'ava'
import { Endpoints } from '../../src/client/endpoints.ts'

/** Time that passes only when told to. */
class ManualClock {
  ms = 0
  monotonic = () => this.ms
  after = () => () => {}
  sleep = () => Promise.resolve()
}

const urls = ['http://a:1', 'http://b:1', 'http://c:1']
const none = new Set<string>()

test('the one that worked is kept until it fails, and comes back after a while', t => {
  const clock = new ManualClock()
  const endpoints = new Endpoints(urls, clock, true)
  endpoints.worked('http://b:1')
  t.is(endpoints.next(none), 'http://b:1')
  endpoints.failed('http://b:1')
  t.is(endpoints.next(none), 'http://c:1')
  clock.ms += 60_000
  t.is(endpoints.next(none), 'http://b:1')
})

test('each is tried once before any is tried again', t => {
  const endpoints = new Endpoints(urls, new ManualClock(), true)
  const tried = new Set<string>()
  for (let next = endpoints.next(tried); next !== null; next = endpoints.next(tried)) {
    tried.add(next)
    endpoints.failed(next)
  }
  t.deepEqual([...tried].sort(), urls)
  t.not(endpoints.next(none), null)
})

test('a leaving node is passed over, and answering does not make it the first choice again', t => {
  const endpoints = new Endpoints(urls, new ManualClock(), true)
  endpoints.worked('http://a:1')
  endpoints.leaving('http://a:1')
  endpoints.worked('http://a:1')
  t.is(endpoints.next(none), 'http://b:1')
})

test('a leaving node is better than one that failed, a node learnt better than a leaving one', t => {
  const endpoints = new Endpoints(['http://a:1', 'http://b:1'], new ManualClock(), true)
  endpoints.failed('http://a:1')
  endpoints.leaving('http://b:1')
  t.is(endpoints.next(none), 'http://b:1')
  endpoints.learn(['http://d:1'])
  t.is(endpoints.next(none), 'http://d:1')
})

test('learns only http URLs, each once, a bounded number, and nothing when told not to', t => {
  const endpoints = new Endpoints(urls, new ManualClock(), true)
  endpoints.learn(['http://a:1/', 'ftp://x', 'not a url', 'javascript:alert(1)', 'https://d', 'https://d/'])
  t.deepEqual(endpoints.urls, [...urls, 'https://d'])
  endpoints.learn(Array.from({ length: 10_000 }, (_, index) => `http://n${index}:1`))
  t.true(endpoints.urls.length < 100)
  const closed = new Endpoints(urls, new ManualClock(), false)
  closed.learn(['http://d:1'])
  t.deepEqual(closed.urls, urls)
})

test('refuses endpoints that are none', t => {
  for (const wrong of [[], ['ftp://a'], ['a b']]) t.throws(() => new Endpoints(wrong, new ManualClock(), true))
})
