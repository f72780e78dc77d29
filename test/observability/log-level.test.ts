/** The level of the log while nodes run: of this one, of another one, of all, for a time; by the API and the command line. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Writable } from 'node:stream'
import test from 'ava'
import { type Clock, systemClock } from '../../src/async/index.ts'
import { createLogger, LogLevelControl } from '../../src/observability/index.ts'
import { start } from '../cli/support.ts'
import { freezeWithoutLock } from '../support/freezing.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'

test('the level of a logger reaches its children, says so, and returns when its time is over', t => {
  const lines: { msg: string; from?: string; to?: string }[] = []
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  const logger = createLogger({ level: 'info', destination })
  const grandchild = logger.child({ part: 'cluster' }).child({ engine: 'e' })
  const timers: { delayMs: number; task: () => void; cancelled: boolean }[] = []
  const clock: Clock = {
    ...systemClock,
    now: () => Date.UTC(2026, 0, 1),
    after(delayMs, task) {
      const timer = { delayMs, task, cancelled: false }
      timers.push(timer)
      return () => {
        timer.cancelled = true
      }
    },
  }
  const control = new LogLevelControl(logger, 'info', clock)
  control.change({ level: 'debug', forMs: 1_000 })
  grandchild.debug({}, 'heard')
  t.like(control.change({ level: 'error', forMs: 60_000 }), {
    level: 'error',
    configured: 'info',
    revertsAt: '2026-01-01T00:01:00.000Z',
  })
  grandchild.warn({}, 'not heard')
  t.deepEqual(
    timers.map(({ cancelled }) => cancelled),
    [true, false],
    'the later change replaces the earlier with its time',
  )
  timers[1]?.task()
  t.deepEqual(control.state, { level: 'info', configured: 'info', revertsAt: null })
  grandchild.info({}, 'heard again')
  t.deepEqual(
    lines.map(({ msg, from, to }) => (from ? `${from} → ${to}` : msg)),
    ['info → debug', 'heard', 'debug → error', 'error → info', 'heard again'],
  )
})

const cluster = new TestCluster(null)
test.after.always(() => cluster.stop())

test('nodes log more and less as admins want it, from any node', async t => {
  const audit = path.join(cluster.folder, 'audit.jsonl')
  const env = { LENS_AUDIT_FILE: audit, LENS_LOG_LEVEL: 'warn' }
  const [n1, n2] = (await Promise.all(
    ['n1', 'n2'].map(async name => (await cluster.start({ name, env })).ready()),
  )) as [NodeProcess, NodeProcess]
  await cluster.settled(2)
  const { token } = await n1.session('admin')
  const change = async (where: string, body: object) => {
    const answer = await n1.call('PUT', `/api/v1/log-level${where}`, { token, body })
    t.is(answer.status, 200, JSON.stringify(answer.body))
    return answer.body.nodes.map(({ node, level }: { node: string; level: string }) => `${node} ${level}`)
  }
  const lens = (...args: string[]) =>
    start(t, ['log-level', ...args], { env: { LENS_SERVER: n1.url, LENS_USER: 'admin' } }).finished

  t.deepEqual(await change('', { level: 'error' }), ['n1 error'])
  t.deepEqual(await change('?node=n2', { level: 'info' }), ['n2 info'])
  const { body: all } = await n2.call('GET', '/api/v1/log-level?node=*', { token })
  t.deepEqual(all.nodes, [
    { node: 'n1', level: 'error', configured: 'warn', revertsAt: null },
    { node: 'n2', level: 'info', configured: 'warn', revertsAt: null },
  ])
  t.true(n2.log.some(({ msg, from, to }) => msg === 'the log level is another' && from === 'warn' && to === 'info'))

  const shown = await lens('debug', '--all', '--for', '2s')
  t.is(shown.code, 0, shown.err)
  t.regex(shown.out, /n1 +debug +warn +\d{4}-.*\nn2 +debug +warn +\d{4}-/)
  await eventually('both return by themselves', async () => {
    const { body } = await n2.call('GET', '/api/v1/log-level?node=*', { token })
    return body.nodes.every((node: { level: string; revertsAt: unknown }) => node.level === 'warn' && !node.revertsAt)
  })
  t.true(n1.log.some(({ from, to }) => from === 'error' && to === 'debug'))

  t.is((await n1.call('PUT', '/api/v1/log-level?node=n9', { token, body: { level: 'info' } })).status, 404)
  for (const body of [{}, { level: 'loud' }, { level: 'info', forMs: 0 }])
    t.is((await n1.call('PUT', '/api/v1/log-level', { token, body })).status, 400, JSON.stringify(body))
  const stranger = (await n1.session('ann')).token
  t.is((await n1.call('PUT', '/api/v1/log-level?node=*', { token: stranger, body: { level: 'trace' } })).status, 403)
  t.is((await lens('--all', '--node', 'n1')).code, 2)
  t.is((await lens('--for', '1h')).code, 2)

  // Whoever changes all is told of one that did not hear of it.
  await freezeWithoutLock(n2, cluster.storeUrl)
  try {
    t.deepEqual(await change('?node=*', { level: 'info' }), ['n1 info', 'n2 null'])
  } finally {
    n2.signal('SIGCONT')
  }

  const deeds = readFileSync(audit, 'utf8')
    .split('\n')
    .filter(line => line.includes('log-level.changed'))
    .map(line => JSON.parse(line))
  t.deepEqual(
    deeds.map(({ user, outcome, details }) => [user, outcome, details.on, details.level, details.forMs]),
    [
      ['admin', 'ok', null, 'error', null],
      ['admin', 'ok', 'n2', 'info', null],
      ['admin', 'ok', '*', 'debug', 2000],
      ['admin', 'NOT_FOUND', 'n9', 'info', null],
      ['ann', 'FORBIDDEN', '*', 'trace', null],
      ['admin', 'ok', '*', 'info', null],
    ],
  )
})
