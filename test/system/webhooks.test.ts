/** Webhooks: every end is told, signed, at least once, whoever dies; what cannot be told waits, is given up, and can be asked for again. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { start } from '../cli/support.ts'
import { eventually } from '../support/conditions.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import type { NodeProcess } from '../support/nodes.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { sleepingFor } from '../support/sleeping.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'

const receiver = await WebhookReceiver.start()
test.after.always(() => receiver.close())

const secret = `whsec_${Buffer.from('a key of thirty-two random bytes').toString('base64')}`
const secretBefore = 'what it was before'
const shared = sharedCluster(test, {
  nodes: 3,
  env: {
    LENS_LIMITS_RUNNING_PER_USER: '1000',
    LENS_WEBHOOKS_ALL_URL: `${receiver.url}/all`,
    LENS_WEBHOOKS_ALL_SECRET: secret,
    LENS_WEBHOOKS_ALL_SECRET_BEFORE: secretBefore,
    LENS_WEBHOOKS_ALL_RETRY_MS: '20',
    LENS_WEBHOOKS_ALL_TIMEOUT_MS: '2000',
    LENS_WEBHOOKS_FAILURES_URL: `${receiver.url}/failures?key=not-to-be-shown`,
    LENS_WEBHOOKS_FAILURES_SECRET: 'a secret of its own',
    LENS_WEBHOOKS_FAILURES_OUTCOMES: 'FAILED,CANCELED',
    LENS_WEBHOOKS_FAILURES_USERS: 'bob',
    LENS_WEBHOOKS_FAILURES_SQL: 'true',
    LENS_WEBHOOKS_FAILURES_HEADERS_AUTHORIZATION: 'Bearer of tidings',
    LENS_WEBHOOKS_HOPELESS_URL: `${receiver.url}/hopeless`,
    LENS_WEBHOOKS_HOPELESS_SECRET: 'a secret of its own',
    LENS_WEBHOOKS_HOPELESS_USERS: 'hapless',
    LENS_WEBHOOKS_HOPELESS_GIVE_UP_MS: '0',
  },
})

/** What the documentation gives to receivers. */
async function exampleOf(page: string): Promise<(headers: object, body: string, secret: string) => boolean> {
  const text = readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8')
  const [, code = ''] = /```js\n([\s\S]*?)```/.exec(text) ?? []
  return (await import(`data:text/javascript,${encodeURIComponent(code)}`)).isGenuine
}

const rowOf = async (handle: string, webhook = 'all') =>
  (await ask(shared.storeUrl, 'SELECT * FROM webhook_delivery WHERE handle = ? AND webhook = ?', [handle, webhook]))[0]

const stateOf = (handle: string, state: string, webhook = 'all') =>
  eventually(
    () => rowOf(handle, webhook),
    row => row?.state === state,
    { what: `the delivery of ${handle} to ${webhook} is ${state}` },
  )

async function ended(node: NodeProcess, user: string, sql = 'select 1 a'): Promise<{ handle: string; token: string }> {
  const { token } = await node.session(user)
  const { handle } = await node.submit(token, { sql })
  await node.ended(token, handle)
  return { handle, token }
}

test.serial('an end is told once to everybody who wants it, signed, without what was not asked for', async t => {
  const isGenuine = await exampleOf('webhooks.md')
  for (const node of shared.nodes) {
    const { handle, token } = await ended(node, 'alice')
    const [told] = await receiver.told(handle)
    const { data, ...envelope } = told?.message ?? {}
    const { sql, plan, progress, queuePosition, ...shown } = await node.query(token, handle)
    t.deepEqual(data, shown)
    t.deepEqual(envelope, { type: 'query.ended', timestamp: data.finishedAt })
    t.is(told?.headers['webhook-id'], `${handle}_all`)
    for (const known of [secret, secretBefore]) t.true(isGenuine(told?.headers ?? {}, told?.body ?? '', known))
    t.false(isGenuine(told?.headers ?? {}, `${told?.body} `, secret))
    t.false(isGenuine(told?.headers ?? {}, told?.body ?? '', 'another secret of somebody'))
    t.like(await stateOf(handle, 'DELIVERED'), { attempts: 1, last_error: null })
    t.is(receiver.toldOf(handle).length, 1)
  }
  const sql = 'select nothing from nowhere'
  const failed = await ended(shared.node('n2'), 'bob', sql)
  const [told] = await receiver.told(failed.handle, 1, '/failures?key=not-to-be-shown')
  t.is(told?.headers.authorization, 'Bearer of tidings')
  t.like(told?.message.data, { sql, status: 'FAILED', user: 'bob' })
  const well = await ended(shared.node('n2'), 'bob')
  await receiver.told(well.handle)
  t.is(await rowOf(well.handle, 'failures'), undefined)
  t.is(await rowOf(failed.handle, 'hopeless'), undefined)

  const leader = await shared.cluster.leader()
  const delivered = /^lens_webhook_deliveries_total\{webhook="failures",outcome="delivered"\} 1$/m
  await eventually(
    () => leader.metrics(),
    text => delivered.test(text),
    { what: 'the leader counts' },
  )
})

test.serial(
  'what is refused, redirected or not answered is tried again, under the same id, until it is received',
  async t => {
    const answers: ((response: import('node:http').ServerResponse) => void)[] = [
      response => void response.writeHead(500).end('x'.repeat(100_000)),
      response => void response.writeHead(302, { location: `${receiver.url}/elsewhere` }).end(),
      response => void response.writeHead(429, { 'retry-after': '1' }).end(),
      response => void response.destroy(),
      // Never answered: the request ends by its own time.
      () => undefined,
      response => void response.writeHead(299).end(),
    ]
    receiver.answer('carol', response => answers.shift()?.(response))
    const { handle } = await ended(shared.node('n1'), 'carol')
    const other = await ended(shared.node('n1'), 'dave')
    // Carol's waits between its attempts; nobody else does.
    await receiver.told(other.handle)
    const told = await receiver.told(handle, 6)
    t.like(await stateOf(handle, 'DELIVERED'), { attempts: 6, last_error: null })
    t.deepEqual([...new Set(told.map(({ headers }) => headers['webhook-id']))], [`${handle}_all`])
    t.is(new Set(told.map(({ body }) => body)).size, 1)
    t.deepEqual(
      receiver.all.filter(({ path }) => path === '/elsewhere'),
      [],
    )
    t.is(receiver.toldOf(handle).length, 6)
  },
)

test.serial('what is given up is dead, is seen by admins alone, and is told when they ask for it again', async t => {
  receiver.answer('hapless', response => void response.writeHead(503).end())
  const { handle, token } = await ended(shared.node('n3'), 'hapless')
  t.like(await stateOf(handle, 'DEAD', 'hopeless'), { attempts: 1, last_error: 'HTTP 503' })
  receiver.answer('gone', response => void response.writeHead(410).end())
  const gone = await ended(shared.node('n3'), 'gone')
  t.like(await stateOf(gone.handle, 'DEAD'), { attempts: 1, last_error: 'HTTP 410' })

  const [node] = shared.nodes as [NodeProcess]
  const again = `/api/v1/webhooks/hopeless/deliveries/${handle}`
  for (const [method, path] of [
    ['GET', '/api/v1/webhooks'],
    ['GET', '/api/v1/webhooks/deliveries'],
    ['POST', again],
  ] as const)
    t.is((await node.call(method, path, { token })).body.code, 'FORBIDDEN')
  const admin = await node.session('admin')
  const { body } = await node.call('GET', '/api/v1/webhooks', admin)
  t.false(JSON.stringify(body).includes('not-to-be-shown') || JSON.stringify(body).includes('secret'))
  t.like(
    body.webhooks.find(({ name }: any) => name === 'hopeless'),
    { url: receiver.url, users: ['hapless'], pending: 0, dead: 1, oldestPendingAt: null },
  )
  const dead = await node.call('GET', '/api/v1/webhooks/deliveries?state=DEAD&limit=1', admin)
  t.is(dead.body.deliveries.length, 1)
  const rest = await node.call('GET', `/api/v1/webhooks/deliveries?state=DEAD&cursor=${dead.body.nextCursor}`, admin)
  t.deepEqual(
    [...dead.body.deliveries, ...rest.body.deliveries].map(({ webhook, dueAt }: any) => [webhook, dueAt]),
    [
      ['all', null],
      ['hopeless', null],
    ],
  )
  t.is((await node.call('POST', again.replace('hopeless', 'none-such'), admin)).body.code, 'NOT_FOUND')
  t.is((await node.call('GET', '/api/v1/webhooks/deliveries?state=LOST', admin)).status, 400)

  receiver.answer('hapless', response => void response.writeHead(200).end())
  const lens = (...args: string[]) => start(t, args, { env: { LENS_SERVER: node.url, LENS_USER: 'admin' } }).finished
  t.regex(
    (await lens('webhooks')).out,
    /^hopeless +http:\/\/127\.0\.0\.1:\d+ +SUCCESSFUL,FAILED,CANCELED +hapless +0 +- +1$/m,
  )
  t.regex(
    (await lens('deliveries', '--state', 'dead', '--webhook', 'all')).out,
    new RegExp(`^${gone.handle} +all +DEAD +1 .* HTTP 410$`, 'm'),
  )
  t.is((await lens('redeliver', 'hopeless', handle)).out, `${handle} to hopeless: PENDING\n`)
  await receiver.told(handle, 2, '/hopeless')
  await stateOf(handle, 'DELIVERED', 'hopeless')
})

test.serial('the leader dies while a receiver has not answered yet: the next one tells it again', async t => {
  await shared.restore()
  const held: (() => void)[] = []
  receiver.answer('erin', response => void held.push(() => response.writeHead(204).end()))
  const leader = await shared.cluster.leader()
  const other = shared.nodes.find(node => node !== leader) as NodeProcess
  const { handle } = await ended(other, 'erin')
  await receiver.told(handle)
  // A request that is under way keeps no other waiting.
  const meanwhile = await ended(other, 'frank')
  await stateOf(meanwhile.handle, 'DELIVERED')
  t.like(await rowOf(handle), { state: 'PENDING', attempts: 0 })
  await leader.kill()
  receiver.answer('erin', response => void response.writeHead(204).end())
  const told = await receiver.told(handle, 2)
  t.is(new Set(told.map(({ headers }) => headers['webhook-id'])).size, 1)
  await stateOf(handle, 'DELIVERED')
  for (const answer of held) answer()
})

test.serial('nodes are killed while queries end: every end is told', async t => {
  await shared.restore()
  const [first] = shared.nodes as [NodeProcess]
  const { token } = await first.session('grace')
  const handles = await Promise.all(
    Array.from({ length: 60 }, async (_, index) => {
      const node = shared.nodes[index % shared.nodes.length] as NodeProcess
      return (await node.submit(token, { sql: sleepingFor(index * 100), lane: 'light' })).handle as string
    }),
  )
  for (const name of ['n1', 'n2', 'n3']) {
    await eventually(
      () => ask(shared.storeUrl, "SELECT handle FROM finished_query WHERE `user` = 'grace'"),
      rows => rows.length > 0,
      { what: 'the first of them end' },
    )
    await shared.node(name).kill()
    await shared.restore()
  }
  const [node] = shared.nodes as [NodeProcess]
  for (const handle of handles) {
    t.is((await node.ended(token, handle)).status, 'SUCCESSFUL')
    await receiver.told(handle)
    await stateOf(handle, 'DELIVERED')
  }
  t.deepEqual(await brokenInvariants(shared.storeUrl, handles), [])
})
