/** That what `docker/` holds is accepted by the programs that read it, and keeps the promises that a page cannot check. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import { parse } from 'yaml'
import { loadConfig } from '../../src/config/index.ts'
import { requiredProgram } from '../support/packages.ts'
import { runProcess, withoutLens } from '../support/processes.ts'
import { proxyConfiguration } from '../support/proxies.ts'
import { read, root } from './sources.ts'

interface ComposeService {
  readonly image: string
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: object
  readonly stop_grace_period?: string
  readonly read_only?: boolean
  readonly ports?: readonly string[]
}

test('docker-compose accepts the file, and resolves three nodes, MySQL and nginx', async t => {
  const compose = await requiredProgram(['docker-compose'], 'docker-compose')
  const env = withoutLens(process.env)
  const { code, out, err } = await runProcess(t, compose, ['-f', 'docker/compose.yaml', 'config'], { cwd: root, env })
  t.is(code, 0, err)
  const { services } = parse(out) as { services: Record<string, ComposeService> }
  t.deepEqual(Object.keys(services).sort(), ['mysql', 'nginx', 'node1', 'node2', 'node3'])
  t.true(services.mysql?.command?.includes('--innodb-flush-log-at-trx-commit=1'))
  t.true(services.mysql?.command?.includes('--sync-binlog=1'))
  for (const name of ['node1', 'node2', 'node3']) {
    const service = services[name] as ComposeService
    t.is(service.depends_on?.mysql?.condition, 'service_healthy')
    t.true(service.read_only)
    // The very variables, read by the very loader.
    const config = loadConfig({ env: service.environment, makeSecret: false })
    t.is(config.node.id, name)
    t.is(config.node.advertiseUrl, `http://${name}:9999`)
    t.true(config.store.url.startsWith('mysql://'))
    const drainSeconds = (config.drain.readinessMs + config.drain.graceMs) / 1000
    t.true(Number.parseInt(service.stop_grace_period as string, 10) > drainSeconds, 'a drain would be cut short')
  }
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

const dockerfile = read('docker/Dockerfile').replace(/\\\n/g, ' ').split('\n')
const instruction = (name: string) =>
  dockerfile.filter(line => line.startsWith(`${name} `)).map(line => line.slice(name.length + 1).trim())

test('the image runs as nobody special, ends by SIGTERM, and starts without a shell between', t => {
  t.is(instruction('USER').at(-1), 'node')
  t.deepEqual(instruction('STOPSIGNAL'), ['SIGTERM'])
  for (const form of ['ENTRYPOINT', 'CMD']) t.true(Array.isArray(JSON.parse(instruction(form).at(-1) as string)), form)
})

test('everything that the image copies is there, and let in by its ignore file', t => {
  const ignored = read('docker/Dockerfile.dockerignore')
  for (const line of instruction('COPY').filter(copy => !copy.startsWith('--from'))) {
    for (const source of line.split(/\s+/).slice(0, -1)) {
      t.true(existsSync(join(root, source)), source)
      t.true(
        ignored
          .split('\n')
          .some(allowed => allowed.startsWith('!') && source.replace('./', '').startsWith(allowed.slice(1))),
        source,
      )
    }
  }
})

test('the image’s health check says whether the node answers', async t => {
  const [, command = '[]'] = /CMD\s+(\[.*\])$/.exec(instruction('HEALTHCHECK')[0] as string) ?? []
  const [program, ...args] = JSON.parse(command) as string[]
  t.is(program, 'node')
  let status = 200
  const server = createServer((request, response) =>
    response.writeHead(request.url === '/healthz' ? status : 404).end(),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const check = (port: number) =>
    runProcess(t, process.execPath, args, { env: { ...process.env, LENS_PORT: String(port) } })
  const { port } = server.address() as AddressInfo
  t.is((await check(port)).code, 0)
  status = 500
  t.is((await check(port)).code, 1)
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
  t.is((await check(port)).code, 1)
})
