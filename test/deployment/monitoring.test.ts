/** The dashboard and the alert rules, read by a Prometheus that reads a node: every expression is answered, and names what there is. */
import { spawn } from 'node:child_process'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { parse } from 'yaml'
import { createMetrics } from '../../src/observability/index.ts'
import { eventually } from '../support/conditions.ts'
import { temporaryFolder } from '../support/folders.ts'
import { TestCluster } from '../support/nodes.ts'
import { requiredProgram } from '../support/packages.ts'
import { freePort } from '../support/ports.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'
import { StreamClient } from '../support/wire.ts'

const docker = new URL('../../docker/', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, docker), 'utf8')

interface Panel {
  readonly title: string
  readonly type: string
  readonly datasource?: { readonly uid: string }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

const dashboard = JSON.parse(read('grafana/dashboards/lens.json')) as { panels: readonly Panel[] }
const panels = dashboard.panels.filter(({ type }) => type !== 'row')
const expressions = panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({ title, expr: expr.replaceAll('$__rate_interval', '1m') })),
)

test('the dashboard shows every metric of a node, and none that does not exist', async t => {
  const metrics = createMetrics()
  t.teardown(() => metrics.close())
  const existing = [...(await metrics.text()).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name as string)
  const text = expressions.map(({ expr }) => expr).join('\n')
  const named = [...text.matchAll(/\b(?:lens|process)_\w+/g)].map(([name]) => name.replace(/_(bucket|sum|count)$/, ''))
  t.deepEqual([...new Set(named)].sort(), [...existing].sort())
})

test('Grafana finds the data source and the dashboard where the compose file puts them', t => {
  const { services } = parse(read('compose.yaml'), { merge: true })
  const [source] = parse(read('grafana/provisioning/datasources/prometheus.yml')).datasources
  for (const { title, datasource } of panels) t.is(datasource?.uid, source.uid, title)
  t.is(source.url, 'http://prometheus:9090')
  const scrape = parse(read('prometheus/prometheus.yml'))
  t.is(source.jsonData.timeInterval, scrape.global.scrape_interval)
  const [provider] = parse(read('grafana/provisioning/dashboards/lens.yml')).providers
  t.true(services.grafana.volumes.includes(`./grafana/dashboards:${provider.options.path}:ro`))
  t.true(services.grafana.volumes.includes('./grafana/provisioning:/etc/grafana/provisioning:ro'))
  t.is(services.grafana.environment.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH, `${provider.options.path}/lens.json`)
  t.true(services.prometheus.volumes.includes('./prometheus:/etc/prometheus:ro'))
})

/** What has no series before something went wrong, or where there is no TLS. */
const silent = /lens_(takeover|engine_process_deaths|tls_|webhook_(pending|dead|oldest))|status=~"5|outcome!="renewed"/

test('a Prometheus that reads a node answers every expression of the dashboard, and every rule', async t => {
  const program = await requiredProgram(['prometheus'], 'prometheus')
  const receiver = await WebhookReceiver.start()
  t.teardown(() => receiver.close())
  const cluster = new TestCluster(null, {
    LENS_WEBHOOKS_REPORTS_URL: receiver.url,
    LENS_WEBHOOKS_REPORTS_SECRET: 'a secret for tests only',
  })
  t.teardown(() => cluster.stop())
  const [node] = await cluster.startAll(1)
  if (!node) return t.fail('no node')

  const folder = await temporaryFolder(t, 'prometheus')
  copyFileSync(new URL('prometheus/alerts.yml', docker), join(folder, 'alerts.yml'))
  const configuration = parse(read('prometheus/prometheus.yml'))
  configuration.global = { scrape_interval: '1s', evaluation_interval: '1s' }
  configuration.scrape_configs[0].static_configs[0].targets = [`127.0.0.1:${node.port}`]
  // YAML is a superset of JSON.
  writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify(configuration))
  const url = `http://127.0.0.1:${await freePort()}`
  const child = spawn(
    program,
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${url.slice('http://'.length)}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    said += text
  })
  const ended = new Promise(resolve => child.once('exit', resolve))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const ask = async (path: string) => {
    const response = await fetch(`${url}/api/v1/${path}`)
    const body = (await response.json()) as { status: string; data: any; error?: string }
    if (body.status !== 'success') throw new Error(`${path}: ${body.error}`)
    return body.data
  }
  await eventually(
    () => ask('targets'),
    ({ activeTargets: [target] }) => target?.health === 'up',
    { what: () => `Prometheus reads the node; it said: ${said.slice(-2_000)}` },
  )
  const { token } = await node.session('ada')
  const stream = await new StreamClient(node.url, { token }).opened()
  t.teardown(() => stream.terminate())
  stream.send({ type: 'subscribe', id: 's', topic: 'session' })
  await stream.frame('the subscription', ({ type }) => type === 'subscribed')
  const { handle } = await node.submit(token, { sql: 'select 1 a' })
  await node.ended(token, handle)
  await receiver.told(handle, 1, '/')

  for (const { title, expr } of expressions)
    await eventually(
      () => ask(`query?query=${encodeURIComponent(expr)}`),
      ({ result }) => silent.test(expr) || result.length > 0,
      { what: `${title}: ${expr}` },
    )
  const rules = await eventually(
    async () => (await ask('rules')).groups.flatMap((group: any) => group.rules),
    found => found.length > 0 && found.every(({ health }: any) => health !== 'unknown'),
    { what: 'every rule was evaluated' },
  )
  t.true(rules.length >= 15)
  t.deepEqual(
    rules.filter(({ health }: any) => health !== 'ok').map(({ name, lastError }: any) => `${name}: ${lastError}`),
    [],
  )
})
