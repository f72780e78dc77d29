/** The console as a node serves it: types, caching, compression, policy, and nothing but its own files. */
import { mkdir, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import test from 'ava'
import Fastify from 'fastify'
import { consoleRoutes } from '../../src/api/console.ts'
import type { Application } from '../../src/api/context.ts'
import { MemberOrigins } from '../../src/api/member-origins.ts'
import { Origins } from '../../src/api/origins.ts'
import { LensError } from '../../src/domain/index.ts'
import { ManualClock } from '../support/cluster/manual-clock.ts'
import { builtConsole } from '../support/console-build.ts'
import { temporaryFolder } from '../support/folders.ts'
import { TestCluster } from '../support/nodes.ts'

const cluster = new TestCluster(null)
test.before('build the console and start two nodes', async () => {
  await builtConsole()
  await cluster.startAll(2)
})
test.after.always('stop them', () => cluster.stop())

/** Paths as they are written: `fetch` would tidy them. */
function get(path: string, headers: Record<string, string> = {}, method = 'GET') {
  const { port } = cluster.running[0] as { port: number }
  return new Promise<{ status: number; headers: Record<string, string>; body: Buffer }>((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path, headers, method }, answer => {
      const parts: Buffer[] = []
      answer.on('data', part => parts.push(part))
      answer.on('end', () =>
        resolve({
          status: answer.statusCode as number,
          headers: answer.headers as Record<string, string>,
          body: Buffer.concat(parts),
        }),
      )
    })
    asked.once('error', reject).end()
  })
}

const asset = async (ending: string) => {
  const { body } = await get('/')
  return new RegExp(`/assets/[\\w.-]+\\.${ending}`).exec(body.toString())?.[0] as string
}

for (const path of ['/', '/queries/0190-any', '/machines', '/machines/x', '/cluster', '/sessions']) {
  test(`${path} answers the document, which is asked for again each time`, async t => {
    const { status, headers, body } = await get(path)
    t.is(status, 200)
    t.is(headers['content-type'], 'text/html; charset=utf-8')
    t.is(headers['cache-control'], 'no-cache')
    t.regex(body.toString(), /<div id="app">/)
    const again = await get(path, { 'if-none-match': headers.etag as string })
    t.deepEqual([again.status, again.body.length], [304, 0])
    t.is((await get(path, {}, 'HEAD')).status, 200)
  })
}

function policyOf(headers: Record<string, string>): Record<string, string[]> {
  return Object.fromEntries(
    (headers['content-security-policy'] as string).split('; ').map(each => {
      const [name = '', ...values] = each.split(' ')
      return [name, values]
    }),
  )
}

test('the policy of a page admits what its node serves, and nothing else', async t => {
  const { headers } = await get('/')
  t.deepEqual(policyOf(headers), {
    'default-src': ["'none'"],
    'script-src': ["'self'"],
    'style-src': ["'self'"],
    'img-src': ["'self'", 'data:'],
    'font-src': ["'self'"],
    'connect-src': ["'self'"],
    'frame-src': ["'self'"],
    'worker-src': ["'self'"],
    'base-uri': ["'none'"],
    'frame-ancestors': ["'none'"],
    'form-action': ["'none'"],
  })
  t.is(headers['x-content-type-options'], 'nosniff')
  t.is(headers['referrer-policy'], 'no-referrer')
})

test('the window for calls to members admits those, says which, runs nothing, and is framed by this node alone', async t => {
  const { status, headers, body } = await get('/reach')
  t.is(status, 200)
  t.is(headers['content-type'], 'text/html; charset=utf-8')
  t.is(headers['cache-control'], 'no-store', 'members come and go')
  const { 'connect-src': callable = [], ...rest } = policyOf(headers)
  const members = cluster.running.map(node => node.url)
  t.deepEqual(callable.sort(), ["'self'", ...members, ...members.map(url => url.replace('http', 'ws'))].sort())
  t.deepEqual(rest, {
    'default-src': ["'none'"],
    'base-uri': ["'none'"],
    'frame-ancestors': ["'self'"],
    'form-action': ["'none'"],
  })
  t.deepEqual(
    [...body.toString().matchAll(/<li>([^<]*)<\/li>/g)].map(([, origin]) => origin).sort(),
    [...members].sort(),
  )
})

test('an address that would end a directive, a policy or a text is no member that pages may call', t => {
  const otherNodes = () => [
    'http://a;sandbox',
    'http://b,c',
    'http://d&lt;e',
    "http://f'g",
    'https://[::1]:9',
    'http://h_i-1.j:8',
  ]
  const members = new MemberOrigins({
    ...{ otherNodes, onOtherNodes: () => () => {}, advertiseUrl: 'http://127.0.0.1:7001', clock: new ManualClock() },
  })
  t.deepEqual(members.all(), ['http://127.0.0.1:7001', 'https://[::1]:9', 'http://h_i-1.j:8'])
})

test('assets keep for ever, and come compressed to who accepts that', async t => {
  const path = await asset('js')
  const plain = await get(path)
  t.is(plain.status, 200)
  t.is(plain.headers['content-type'], 'text/javascript; charset=utf-8')
  t.is(plain.headers['cache-control'], 'public, max-age=31536000, immutable')
  t.is(plain.headers['content-encoding'], undefined)
  const brotli = await get(path, { 'accept-encoding': 'gzip, deflate, br' })
  t.is(brotli.headers['content-encoding'], 'br')
  t.deepEqual(brotliDecompressSync(brotli.body), plain.body)
  const gzip = await get(path, { 'accept-encoding': 'gzip, br;q=0' })
  t.is(gzip.headers['content-encoding'], 'gzip')
  t.deepEqual(gunzipSync(gzip.body), plain.body)
  t.is((await get(await asset('css'))).headers['content-type'], 'text/css; charset=utf-8')
  t.is((await get('/icon.svg')).headers['content-type'], 'image/svg+xml')
})

for (const path of [
  '/assets/nothing.js',
  '/assets/../../../package.json',
  '/assets/..%2f..%2f..%2fpackage.json',
  '/assets/%2e%2e/index.html',
  '/assets/..%5cindex.html',
  '/assets/.js',
  '/assets/',
  '/assets',
  '/manifest.json',
  '/index.html.br',
  '/cluster/anything',
  '/elsewhere',
]) {
  test(`${path} is nothing`, async t => {
    const { status, headers } = await get(path)
    t.is(status, 404)
    t.is(headers['content-type'], 'application/problem+json')
  })
}

test('a node whose console is not built says how to build it, and serves no file beside its folder', async t => {
  const folder = await temporaryFolder(t)
  const app = Fastify() as unknown as Application
  app.setErrorHandler((error, _request, reply) => reply.code(error instanceof LensError ? 404 : 500).send({}))
  consoleRoutes(app, { all: () => [] }, folder)
  const empty = await app.inject('/')
  t.is(empty.statusCode, 503)
  t.regex(empty.body, /npm run build:console/)
  await mkdir(join(folder, 'assets'))
  await writeFile(join(folder, 'assets/a.js'), '1')
  await writeFile(join(folder, 'secret.js'), '2')
  t.is((await app.inject('/assets/a.js')).body, '1')
  t.is((await app.inject('/assets/..%2fsecret.js')).statusCode, 404)
  await app.close()
})

test('pages of members are admitted, an hour longer than they are members, and strangers never', async t => {
  const clock = new ManualClock()
  let others = ['http://127.0.0.1:7002', 'http://lens3.internal:9999/', 'not an address', 'ftp://files.example']
  const members = new MemberOrigins({
    ...{ otherNodes: () => others, onOtherNodes: () => () => {} },
    ...{ advertiseUrl: 'http://127.0.0.1:7001', clock },
  })
  t.deepEqual(members.all(), ['http://127.0.0.1:7001', 'http://127.0.0.1:7002', 'http://lens3.internal:9999'])
  const origins = new Origins(
    { node: { host: '127.0.0.1', advertiseUrl: 'http://127.0.0.1:7001' }, cors: { origins: [] } },
    members,
  )
  const judge = (origin: string) => origins.judge(origin, '127.0.0.1:7001')
  t.is(judge('http://127.0.0.1:7002'), 'named')
  t.is(judge('http://localhost:7002'), 'named', 'the same place by another name')
  t.is(judge('http://lens3.internal:9999'), 'named')
  t.is(judge('http://127.0.0.1:7003'), 'refused')
  t.is(judge('https://lens3.internal:9999'), 'refused')
  t.is(judge('http://files.example'), 'refused')
  t.is(judge('http://127.0.0.1:7001'), 'same')
  t.is(judge('http://localhost:7001'), 'named', 'its own page, which calls it by its advertised name')
  t.is(judge('http://[::1]:7002'), 'refused', 'another process may listen there')
  others = []
  await clock.advance(3_599_000)
  t.is(judge('http://lens3.internal:9999'), 'named', 'it died less than an hour ago')
  await clock.advance(2_000)
  t.is(judge('http://lens3.internal:9999'), 'refused')
})

test('pages of a member are admitted that died before the next look', async t => {
  let others: string[] = []
  const listeners = new Set<() => void>()
  const members = new MemberOrigins({
    otherNodes: () => others,
    onOtherNodes: listener => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    ...{ advertiseUrl: 'http://127.0.0.1:7001', clock: new ManualClock() },
  })
  members.start()
  for (const now of [['http://127.0.0.1:7002'], []]) {
    others = now
    for (const tell of listeners) tell()
  }
  t.true(members.has('http://127.0.0.1:7002'))
  members.stop()
  t.is(listeners.size, 0)
})

test('a page of one node may call another, also when its own has died, over HTTP and WebSocket alike', async t => {
  const own = new TestCluster(null)
  t.teardown(() => own.stop())
  const [first, second] = await own.startAll(2)
  if (!first || !second) return t.fail()
  const ask = async (origin: string) => {
    const answer = await second.call('GET', '/api/v1/auth', { headers: { origin } })
    return [answer.status, answer.headers.get('access-control-allow-origin')]
  }
  const socket = (origin: string) =>
    new Promise<number>((resolve, reject) => {
      const headers = {
        ...{ origin, connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' },
        'sec-websocket-key': Buffer.alloc(16).toString('base64'),
      }
      const asked = request({ host: '127.0.0.1', port: second.port, path: '/api/v1/stream', headers })
      asked.once('upgrade', (_, upgraded) => {
        upgraded.destroy()
        resolve(101)
      })
      asked.once('response', answer => {
        answer.resume()
        resolve(answer.statusCode as number)
      })
      asked.once('error', reject).end()
    })
  for (const kill of [false, true]) {
    if (kill) await first.kill()
    t.deepEqual(await ask(first.url), [200, first.url])
    t.is(await socket(first.url), 101)
    t.deepEqual(await ask('http://evil.example'), [403, null])
    t.is(await socket('http://evil.example'), 403)
  }
})
