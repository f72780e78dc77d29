/** That the compose file and the proxies’ configurations are accepted by the programs that read them, and fit each other and the nodes. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { parse } from 'yaml'
import { loadConfig } from '../../src/config/index.ts'
import { requiredProgram } from '../support/packages.ts'
import { runProcess, withoutLens } from '../support/processes.ts'
import { proxyConfiguration } from '../support/proxies.ts'

const root = new URL('../../', import.meta.url).pathname
const read = (path: string) => readFileSync(new URL(path, `file://${root}`), 'utf8')

interface ComposeService {
  readonly image: string
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: { readonly test: readonly string[] }
  readonly profiles?: readonly string[]
  readonly volumes?: readonly string[]
  readonly networks?: Readonly<Record<string, { readonly ipv4_address?: string }>>
  readonly security_opt?: readonly string[]
  readonly cap_drop?: readonly string[]
  readonly stop_grace_period?: string
  readonly read_only?: boolean
  readonly ports?: readonly string[]
}

/** Beside the waiting for proxies and queries: what may be asked of the engines and answered at the end (`src/node.ts`). */
const lastAnswersMs = 25_000

test('docker-compose accepts the file, and resolves three nodes, MySQL and one proxy or the other', async t => {
  const compose = await requiredProgram(['docker-compose'], 'docker-compose')
  const env = withoutLens(process.env)
  const { code, out, err } = await runProcess(t, compose, ['-f', 'docker/compose.yaml', 'config'], { cwd: root, env })
  t.is(code, 0, err)
  // Later versions refuse a key that is there twice, which that one takes.
  t.notThrows(() => parse(read('docker/compose.yaml'), { merge: true }))
  const { services } = parse(out) as { services: Record<string, ComposeService> }
  t.deepEqual(Object.keys(services).sort(), [
    ...['grafana', 'haproxy', 'mysql', 'nginx', 'node1', 'node2', 'node3', 'prometheus'],
  ])
  t.true(services.mysql?.command?.includes('--innodb-flush-log-at-trx-commit=1'))
  t.true(services.mysql?.command?.includes('--sync-binlog=1'))
  for (const name of ['node1', 'node2', 'node3']) {
    const service = services[name] as ComposeService
    t.is(service.depends_on?.mysql?.condition, 'service_healthy')
    t.true(service.read_only)
    t.deepEqual(service.cap_drop, ['ALL'])
    t.deepEqual(service.security_opt, ['no-new-privileges:true'])
    // The very variables, read by the very loader.
    const config = loadConfig({ env: service.environment, makeSecret: false })
    t.is(config.node.id, name)
    t.is(config.node.advertiseUrl, `http://${name}:9999`)
    t.true(config.store.url.startsWith('mysql://'))
    t.deepEqual(config.node.trustedProxies, [services.nginx?.networks?.lens?.ipv4_address as string])
    const { readinessMs, graceMs } = config.drain
    const drainMs = Math.max(readinessMs, graceMs + Math.max(graceMs, 10_000)) + lastAnswersMs
    t.true(Number.parseInt(service.stop_grace_period as string, 10) * 1000 > drainMs, 'a drain would be cut short')
  }
  t.true(services.mysql?.healthcheck?.test.join(' ').includes('mysqladmin ping'))
  // One takes the other's place: the same port of this machine, and never both unless asked for.
  for (const kind of ['nginx', 'haproxy'] as const) {
    const service = services[kind] as ComposeService
    t.deepEqual(service.profiles, [kind])
    t.deepEqual(service.ports, services.nginx?.ports)
    t.deepEqual(service.networks, services.nginx?.networks)
    t.regex(service.healthcheck?.test.join(' ') as string, /\/readyz/)
    const [from] = service.volumes?.map(volume => volume.split(':')[0] as string) ?? []
    t.is(from, `${root}docker/${kind === 'nginx' ? 'nginx.conf' : 'haproxy.cfg'}`, 'the very file that the tests run')
  }
  for (const kind of ['prometheus', 'grafana'] as const) {
    t.deepEqual(services[kind]?.profiles, ['monitoring'])
    t.true(services[kind]?.read_only)
  }
  t.is(/^COMPOSE_PROFILES=(.*)$/m.exec(read('docker/.env'))?.[1], 'nginx')
  // Without authentication nothing is published beyond this machine.
  for (const port of Object.values(services).flatMap(service => service.ports ?? []))
    t.regex(String(port), /^127\.0\.0\.1:/)
})

for (const kind of ['nginx', 'haproxy'] as const) {
  test(`${kind} accepts its configuration`, async t => {
    const { command, check } = await proxyConfiguration(t, kind, ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3'], 8080)
    const { code, out, err } = await runProcess(t, command, check)
    t.is(code, 0, out + err)
    t.notRegex(out + err, /warn/i)
  })
}

test('the drain that compose sets outlasts the check of HAProxy', t => {
  const haproxy = read('docker/haproxy.cfg')
  const [, inter = '', fall = ''] = /inter (\d+)s fall (\d+)/.exec(haproxy) ?? []
  const [, readinessMs = ''] = /LENS_DRAIN_READINESS_MS: "(\d+)"/.exec(read('docker/compose.yaml')) ?? []
  t.true(Number(readinessMs) >= Number(inter) * 1000 * Number(fall) && Number(inter) > 0)
})

test('the proxies wait longer than the nodes let a request take', t => {
  const { limits } = loadConfig({ makeSecret: false })
  const longestMs = Math.max(limits.syncMs, limits.longPollMs)
  t.true(Number(/proxy_read_timeout (\d+)s/.exec(read('docker/nginx.conf'))?.[1]) * 1000 > longestMs)
  t.true(Number(/timeout server (\d+)s/.exec(read('docker/haproxy.cfg'))?.[1]) * 1000 > longestMs)
})
