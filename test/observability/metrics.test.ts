/** What `/metrics` says, and that two nodes in one process never add up. */
import { setTimeout } from 'node:timers/promises'
import test from 'ava'
import { createMetrics } from '../../src/observability/index.ts'

test('what is counted is in the text, under its labels', async t => {
  const metrics = createMetrics()
  t.teardown(metrics.close)
  metrics.transitions.inc({ machine: 'query', event: 'CLAIMED' }, 3)
  metrics.takeoverSeconds.observe({ cause: 'lease' }, 0.25)
  metrics.queued.set({ engine: 'duckdb', lane: 'heavy' }, 7)
  const text = await metrics.text()
  t.true(text.includes('lens_transitions_total{machine="query",event="CLAIMED"} 3\n'))
  t.true(text.includes('lens_takeover_seconds_bucket{le="0.3",cause="lease"} 1\n'))
  t.true(text.includes('lens_takeover_seconds_bucket{le="0.2",cause="lease"} 0\n'))
  t.true(text.includes('lens_lane_queued{engine="duckdb",lane="heavy"} 7\n'))
  t.regex(metrics.contentType, /^text\/plain/)
})

test('each node has a registry of its own', async t => {
  const [one, two] = [createMetrics(), createMetrics()]
  t.teardown(one.close)
  t.teardown(two.close)
  one.fenced.inc()
  t.true((await one.text()).includes('lens_fenced_total 1\n'))
  t.true((await two.text()).includes('lens_fenced_total 0\n'))
})

test('the process is observed: memory and the delay of the event loop', async t => {
  const metrics = createMetrics()
  t.teardown(metrics.close)
  const value = (text: string, line: string) =>
    Number(
      text
        .split('\n')
        .find(found => found.startsWith(line))
        ?.split(' ')[1],
    )
  t.true(value(await metrics.text(), 'process_resident_memory_bytes') > 1e6)
  for (let seen = 0; !(seen > 0.02); ) {
    // A few rounds of the observer's timer with the loop blocked on purpose between them; a reading starts a new period.
    for (let round = 0; round < 3; round++) {
      const until = performance.now() + 40
      while (performance.now() < until);
      await setTimeout(15)
    }
    seen = value(await metrics.text(), 'lens_event_loop_delay_seconds{quantile="1"}')
  }
  t.pass()
})

test('every metric says what it counts and has one unit', async t => {
  const metrics = createMetrics()
  t.teardown(metrics.close)
  for (const line of (await metrics.text()).split('\n').filter(found => found.startsWith('# HELP'))) {
    t.regex(line, /^# HELP (lens|process)_[a-z_]+ [A-Z0-9].*\.$/)
  }
})
