/** Real nodes fill what they declare, a death included; and rules for Prometheus name nothing that they do not have. */
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { eventually } from '../support/conditions.ts'
import { longStatement } from '../support/flights.ts'
import { temporaryFolder } from '../support/folders.ts'
import { TestCluster } from '../support/nodes.ts'
import { requiredProgram } from '../support/packages.ts'
import { runProcess } from '../support/processes.ts'

const prometheus = new URL('../../docker/prometheus/', import.meta.url).pathname
const file = (name: string) => join(prometheus, name)

/** The sum of all series of this name whose labels contain these texts. */
function sum(text: string, name: string, ...labels: readonly string[]): number {
  return text
    .split('\n')
    .filter(line => new RegExp(`^${name}[{ ]`).test(line) && labels.every(label => line.includes(label)))
    .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

test('nodes tell of lanes, journal, members and, after a death, of the takeover', async t => {
  const cluster = new TestCluster(null)
  t.teardown(() => cluster.stop())
  const nodes = await cluster.startAll(2)
  const leader = await cluster.leader()
  const victim = nodes.find(node => node !== leader)
  if (!victim) return t.fail('there is no follower')
  await eventually(
    () => leader.metrics(),
    text => sum(text, 'lens_members', 'state="alive"') === 2 && sum(text, 'lens_peers') === 1,
    { what: 'both members on the leader' },
  )
  const { token } = await victim.session('ada')
  await victim.submit(token, { sql: longStatement(60) })
  const before = await eventually(
    () => victim.metrics(),
    // Its slot is taken before its launch is durable.
    text =>
      sum(text, 'lens_lane_running', 'engine="duckdb"') === 1 && sum(text, 'lens_journal_commit_seconds_count') > 0,
    { what: 'a running query in the metrics' },
  )
  t.is(sum(before, 'lens_engine_healthy', 'engine="duckdb"'), 1)
  t.true(sum(before, 'lens_lane_slots', 'engine="duckdb"') > 0)
  t.true(sum(before, 'lens_term') >= 1)
  t.true(sum(before, 'lens_store_statements_total') > 0)
  for (const kind of ['read', 'write', 'transaction'])
    t.true(sum(before, 'lens_store_call_seconds_count', `kind="${kind}"`) > 0, kind)
  const remaining = sum(before, 'lens_lease_remaining_seconds')
  t.true(remaining > 0 && remaining <= 2, `${remaining} s`)
  const busy = sum(before, 'lens_event_loop_utilization')
  t.true(busy > 0 && busy <= 1, `${busy}`)
  t.is(sum(before, 'lens_build_info'), 1)
  t.true(sum(before, 'lens_journal_batch_size_sum') >= sum(before, 'lens_journal_batch_size_count'))

  // Existing names: declared by the node that runs, of which the rules may speak.
  const declared = new Set([...before.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name))
  const named = [...(await readFile(file('alerts.yml'), 'utf8')).matchAll(/\blens_\w+/g)].map(([name]) => name)
  t.true(named.length > 10)
  for (const name of named) t.true(declared.has(name.replace(/_(bucket|sum|count)$/, '')), name)

  await victim.kill()
  const after = await eventually(
    () => leader.metrics(),
    text => sum(text, 'lens_takeovers_total') === 1,
    { what: 'the takeover in the metrics of the leader' },
  )
  t.is(sum(after, 'lens_takeover_queries_total'), 1)
  t.is(sum(after, 'lens_takeover_seconds_count'), 1)
  t.true(sum(after, 'lens_takeover_seconds_sum') < 30)
})

test('Prometheus takes the rules and the configuration, and the rules speak up when they should', async t => {
  const promtool = await requiredProgram(['promtool'], 'prometheus')
  const run = async (...args: readonly string[]) => {
    const { code, out, err } = await runProcess(t, promtool, args)
    t.is(code, 0, out + err)
  }
  await run('check', 'config', file('prometheus.yml'))
  const folder = await temporaryFolder(t, 'rules')
  await copyFile(file('alerts.yml'), join(folder, 'alerts.yml'))
  await copyFile(new URL('alerts-tests.yml', import.meta.url), join(folder, 'alerts-tests.yml'))
  await run('test', 'rules', join(folder, 'alerts-tests.yml'))
  // Each of them speaks up in one case and keeps quiet in another.
  const rules = await readFile(file('alerts.yml'), 'utf8')
  const cases = await readFile(new URL('alerts-tests.yml', import.meta.url), 'utf8')
  for (const [, alert] of rules.matchAll(/- alert: (\w+)/g)) {
    t.regex(cases, new RegExp(`alertname: ${alert}, .*exp_alerts: \\[\\]`), alert)
    t.regex(cases, new RegExp(`alertname: ${alert}\\n\\s+eval_time: .*\\n\\s+exp_alerts:\\n`), alert)
  }
})

test('every alert says what it is, and leads to a heading of the handbook', async t => {
  const handbook = await readFile(new URL('../../docs/operating.md', import.meta.url), 'utf8')
  const anchors = [...handbook.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading.toLowerCase().replace(/ /g, '-'),
  )
  const alerts = (await readFile(file('alerts.yml'), 'utf8')).split('- alert: ').slice(1)
  for (const alert of alerts) {
    t.regex(alert, /summary: \S[\s\S]*description: \S/)
    t.true(anchors.includes(/runbook_url: docs\/operating\.md#(\S+)/.exec(alert)?.[1] ?? ''), alert)
  }
})
