/** Signing in on a cluster: passwords and tokens, what too many wrong ones come to on every node, rates, and who did what. */
import { createHmac } from 'node:crypto'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { systemRandom } from '../../src/async/index.ts'
import { hashOfPassword } from '../../src/auth/passwords.ts'
import { changeUser } from '../../src/auth/users-file.ts'
import { temporaryFolder } from '../support/folders.ts'
import { Issuer } from '../support/issuer.ts'
import { lens } from '../support/lens-protocol.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { type Answer, eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { startProxy } from '../support/proxies.ts'

const databases = mysqlDatabases(test)

const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

function open(node: NodeProcess, authorization?: string, body: object = {}, headers: Record<string, string> = {}) {
  const all = { ...(authorization === undefined ? {} : { authorization }), ...headers }
  return node.call('POST', '/api/v1/sessions', { body, headers: all })
}

async function started(t: ExecutionContext, count: number, env: Record<string, string>): Promise<NodeProcess[]> {
  const cluster = new TestCluster(await databases.create(t), env)
  t.teardown(() => cluster.stop())
  const nodes = []
  for (let index = 1; index <= count; index++) nodes.push(await cluster.start({ name: `n${index}` }))
  await Promise.all(nodes.map(node => node.ready()))
  return nodes
}

function challengeOf({ url }: NodeProcess): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const asking = request(`${url}/api/v1/sessions`, { method: 'POST', agent: false }, answer => {
      answer.resume()
      resolve(answer.headers['www-authenticate'])
    })
    asking.on('error', reject).end()
  })
}

const waitOf = ({ headers }: Answer) => Number(headers.get('retry-after'))

test('passwords: right ones open sessions, wrong ones do not, and after ten of them no node listens for a while', async t => {
  const folder = await temporaryFolder(t, 'sign-in')
  const usersFile = join(folder, 'users')
  for (const user of ['ada', 'bob', 'admin'])
    await changeUser(usersFile, user, await hashOfPassword(`${user}’s password`, systemRandom))
  const auditFile = join(folder, 'audit.jsonl')
  const nodes = await started(t, 3, {
    LENS_AUTH_METHOD: 'basic',
    LENS_AUTH_USERS_FILE: usersFile,
    LENS_AUDIT_FILE: auditFile,
    // As behind a proxy: each client has an address of its own.
    LENS_NODE_TRUSTED_PROXIES: '127.0.0.0/8',
  })
  const [n1, n2] = nodes as [NodeProcess, NodeProcess]

  t.like((await n1.call('GET', '/api/v1/auth')).body, { method: 'basic', user: null })
  const asked = await open(n1)
  t.is(asked.status, 401)
  t.is(asked.body.code, 'UNAUTHENTICATED')
  // `fetch` says of itself that it is a browser's, whose own dialogue is to stay away.
  t.is(asked.headers.get('www-authenticate'), 'Bearer')
  t.is(await challengeOf(n1), 'Basic realm="Lens HA", charset="UTF-8"')
  for (const wrong of ['Basic', 'Basic !!!', `Basic ${Buffer.from('nocolon').toString('base64')}`, 'Bearer x.y'])
    t.is((await open(n1, wrong)).status, 401, wrong)

  const ada = basic('ada', 'ada’s password')
  const opened = await open(n1, ada, { properties: { team: 'blue' } })
  t.is(opened.status, 201)
  t.is(opened.body.user, 'ada')
  const { token } = opened.body
  t.is((await open(n2, ada, { user: 'ada' })).body.user, 'ada')
  t.like((await open(n2, ada, { user: 'bob' })).body, { status: 403, code: 'FORBIDDEN' })
  t.like((await n2.call('GET', '/api/v1/auth', { token })).body, { user: 'ada', admin: false })
  const admin = (await open(n2, basic('admin', 'admin’s password'))).body
  t.like((await n1.call('GET', '/api/v1/auth', { token: admin.token })).body, { user: 'admin', admin: true })

  // Many at once with the same right words are no failures.
  const many = await Promise.all(Array.from({ length: 25 }, (_, index) => open(nodes[index % 3] as NodeProcess, ada)))
  t.deepEqual([...new Set(many.map(({ status }) => status))], [201])

  // As many wrong ones at once as an attacker likes, at all nodes: ten are looked at.
  const from = { 'x-forwarded-for': '203.0.113.7' }
  const guesses = await Promise.all(
    Array.from({ length: 40 }, (_, index) =>
      open(nodes[index % 3] as NodeProcess, basic('ada', `guess ${index}`), {}, from),
    ),
  )
  const statuses = guesses.map(({ status }) => status)
  t.is(statuses.filter(status => status === 401).length, 10)
  t.is(statuses.filter(status => status === 429).length, 30)
  for (const node of nodes) {
    const refused = await open(node, ada, {}, from)
    t.is(refused.status, 429, 'right or wrong')
    t.is(refused.body.code, 'RATE_LIMITED')
    t.true(waitOf(refused) >= 1 && waitOf(refused) <= 6)
  }
  t.is((await open(n1, basic('bob', 'bob’s password'), {}, from)).status, 201, 'nobody else from there')
  t.is((await open(n1, ada, {}, { 'x-forwarded-for': '203.0.113.8' })).status, 201, 'nor from elsewhere')
  // An unknown user is refused as a known one, and locked as one.
  const unknown = await open(n1, basic('nobody', 'x'), {}, from)
  t.is(unknown.body.detail, guesses.find(({ status }) => status === 401)?.body.detail)
  // The lock opens by itself.
  await eventually('one may try again', async () => (await open(n2, ada, {}, from)).status === 201)

  // A new password counts at once, on every node; open sessions stay.
  await changeUser(usersFile, 'ada', await hashOfPassword('another one', systemRandom))
  for (const node of nodes) {
    t.is((await open(node, ada, {}, { 'x-forwarded-for': '203.0.113.9' })).status, 401)
    t.is((await open(node, basic('ada', 'another one'))).status, 201)
  }
  t.is((await n2.call('GET', '/api/v1/queries', { token })).status, 200)

  // Through the door of Lens's clients.
  const wire = (password: string) =>
    lens(n2, 'POST', '/session', { parts: { username: 'bob', password, sessionconf: '<conf></conf>' } })
  t.is((await wire('bob’s password')).status, 200)
  t.is((await wire('bob’s passwort')).status, 401)

  // Who did what.
  const submitted = await n1.submit(token, { sql: 'select 42 as answer' })
  await n2.ended(token, submitted.handle)
  t.deepEqual(await n2.rows(token, submitted.handle), [[42]])
  await n2.call('DELETE', `/api/v1/queries/${submitted.handle}`, { token })
  await n1.call('GET', `/api/v1/queries/${submitted.handle}/results`, { token: admin.token })
  await n1.call('DELETE', `/api/v1/sessions/${opened.body.id}`, { token })
  t.is(
    (
      await n1.call('POST', '/api/v1/cluster/nodes/n3/drain', {
        token: (await open(n1, basic('bob', 'bob’s password'))).body.token,
      })
    ).status,
    403,
  )
  const lines = readFileSync(auditFile, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  t.true(lines.every(line => line.audit === true && line.time && line.node && line.event && line.outcome))
  const ofQuery = lines.filter(({ handle }) => handle === submitted.handle)
  t.like(ofQuery[0], { event: 'query.submitted', outcome: 'ok', user: 'ada', session: opened.body.id, node: 'n1' })
  t.like(ofQuery[0].details, { sql: 'select 42 as answer', operation: 'execute' })
  t.deepEqual(
    ofQuery.slice(1).map(({ event, user, node }) => `${event} ${user} ${node}`),
    ['rows.read ada n2', 'query.cancelled ada n2', 'rows.read admin n1'],
  )
  const refusals = lines.filter(({ event, address }) => event === 'session.opened' && address === '203.0.113.7')
  t.is(refusals.filter(({ outcome, user }) => outcome === 'UNAUTHENTICATED' && user === 'ada').length, 10)
  t.true(refusals.filter(({ outcome }) => outcome === 'RATE_LIMITED').length >= 33)
  t.true(
    lines.some(({ event, outcome, user }) => event === 'node.drained' && outcome === 'FORBIDDEN' && user === 'bob'),
  )
  t.true(lines.some(({ event, user }) => event === 'session.closed' && user === 'ada'))
  const secrets = /password|passwort|another one|guess \d/
  t.false(secrets.test(readFileSync(auditFile, 'utf8')))
  for (const node of nodes) t.false(secrets.test(JSON.stringify(node.log)))

  // Moved away, as log rotation does it.
  renameSync(auditFile, `${auditFile}.1`)
  for (const node of nodes) node.signal('SIGHUP')
  await eventually('the file is begun anew', async () => {
    await open(n1, basic('bob', 'bob’s password'))
    return existsSync(auditFile) && readFileSync(auditFile, 'utf8').includes('"bob"')
  })
})

test('tokens of an issuer: the right ones of the right issuer for this service, and no others', async t => {
  const issuer = await Issuer.start()
  t.teardown(() => issuer.stop())
  const [n1, n2] = (await started(t, 2, {
    LENS_AUTH_METHOD: 'jwt',
    LENS_AUTH_JWT_ISSUER: issuer.url,
    LENS_AUTH_JWT_AUDIENCE: 'lens',
    LENS_AUTH_JWT_ADMIN_CLAIM: 'groups',
    LENS_AUTH_JWT_ADMIN_VALUES: 'lens-admins',
    LENS_AUTH_JWT_CLOCK_TOLERANCE_MS: '0',
    LENS_AUTH_FAILURES_MAX: '100',
  })) as [NodeProcess, NodeProcess]
  const bearer = async (token: string | Promise<string>) => `Bearer ${await token}`

  t.is((await open(n1)).status, 401)
  const opened = await open(n1, await bearer(issuer.token('ada')))
  t.is(opened.status, 201, JSON.stringify(opened.body))
  t.like(opened.body, { user: 'ada' })
  t.like((await n2.call('GET', '/api/v1/auth', { token: opened.body.token })).body, { user: 'ada', admin: false })
  // An admin by the issuer's word is one on every node, for as long as the session lives.
  const chief = (await open(n1, await bearer(issuer.token('grace', { groups: ['staff', 'lens-admins'] })))).body
  t.like((await n2.call('GET', '/api/v1/auth', { token: chief.token })).body, { user: 'grace', admin: true })
  const { handle } = await n1.submit(opened.body.token, { sql: 'select 1' })
  t.is((await n2.query(chief.token, handle)).user, 'ada')

  const past = Math.floor(Date.now() / 1000) - 60
  const [header, payload] = (await issuer.token('ada')).split('.') as [string, string]
  const coded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const hs256 = `${coded({ alg: 'HS256' })}.${payload}`
  const other = await Issuer.start()
  t.teardown(() => other.stop())
  const wrong: Record<string, string> = {
    expired: await issuer.token('ada', { exp: past }),
    'not valid yet': await issuer.token('ada', { nbf: past + 3600 }),
    'for another service': await issuer.token('ada', { aud: 'elsewhere' }),
    'of another issuer': await issuer.token('ada', { iss: 'https://elsewhere.example' }),
    'without an end': await issuer.token('ada', { exp: undefined }),
    'without a user': await issuer.token('ada', { sub: undefined }),
    'of nobody': await issuer.token(''),
    'with another payload': `${header}.${coded({ ...JSON.parse(Buffer.from(payload, 'base64url').toString()), sub: 'admin' })}.AAAA`,
    unsigned: `${coded({ alg: 'none' })}.${payload}.`,
    'signed with the public key': `${hs256}.${createHmac('sha256', JSON.stringify(issuer.publicJwk)).update(hs256).digest('base64url')}`,
    'signed by somebody else': await other.token('ada', { iss: issuer.url }),
    'no token at all': 'nonsense',
  }
  for (const [what, token] of Object.entries(wrong)) {
    const { status, body } = await open(n2, `Bearer ${token}`)
    t.is(status, 401, what)
    t.is(body.code, 'UNAUTHENTICATED', what)
    t.false(JSON.stringify(body).includes(token.slice(-20)), what)
  }

  // A key that is new is asked for; one that is published no more is believed no more once that was seen.
  const old = await issuer.token('ada')
  await issuer.rotate('RS256')
  await eventually(
    'the new key is believed',
    async () => (await open(n1, await bearer(issuer.token('ada')))).status === 201,
  )
  t.is((await open(n1, `Bearer ${old}`)).status, 401)

  // Whether a token is right cannot be told while the issuer is away: it is not the client's fault.
  await issuer.rotate('ES384')
  await issuer.rotate('ES256')
  await issuer.stop()
  const unsure = await eventually('a node that has to ask says that it cannot', async () => {
    const answer = await open(n2, await bearer(issuer.token('ada')))
    return answer.status === 503 ? answer : null
  })
  t.like(unsure.body, { code: 'ISSUER_UNAVAILABLE', retryable: true })
  t.is((await n2.call('GET', '/api/v1/queries', { token: opened.body.token })).status, 200, 'open sessions go on')
  await issuer.resume()
  await eventually('it is back', async () => (await open(n2, await bearer(issuer.token('ada')))).status === 201)
})

test('requests of a user and from an address are rationed for the cluster, not for a node', async t => {
  const nodes = await started(t, 2, {
    LENS_LIMITS_REQUESTS_PER_USER: '20',
    LENS_LIMITS_REQUESTS_PER_ADDRESS: '200',
    LENS_NODE_TRUSTED_PROXIES: '127.0.0.1',
  })
  const [n1] = nodes as [NodeProcess]
  const [ada, bob] = [await n1.session('ada'), await n1.session('bob')]
  const list = (node: NodeProcess, token: string, address = '198.51.100.1') =>
    node.call('GET', '/api/v1/queries?limit=1', { token, headers: { 'x-forwarded-for': address } })
  const begun = performance.now()
  const answers: Answer[] = []
  for (let round = 0; round < 15; round++)
    answers.push(...(await Promise.all(nodes.flatMap(node => Array.from({ length: 10 }, () => list(node, ada.token))))))
  const seconds = (performance.now() - begun) / 1000
  const served = answers.filter(({ status }) => status === 200).length
  t.true(served >= 20, `${served}`)
  // What the bucket held, what came back meanwhile, and nothing for having two nodes.
  t.true(served <= 40 + 20 * seconds + 1, `${served} in ${seconds} s`)
  const refused = answers.find(({ status }) => status !== 200)
  t.like(refused?.body, { status: 429, code: 'RATE_LIMITED', retryable: true })
  t.true(waitOf(refused as Answer) >= 1)
  for (const node of nodes) t.is((await list(node, bob.token)).status, 200, 'others go on')
  await eventually('so does who waits', async () => (await list(n1, ada.token)).status === 200)

  // An address has a share of its own, whoever asks; health and metrics stay open.
  const flood = await Promise.all(
    Array.from({ length: 900 }, (_, index) =>
      (nodes[index % 2] as NodeProcess).call('GET', '/api/v1/auth', { headers: { 'x-forwarded-for': '198.51.100.2' } }),
    ),
  )
  t.true(flood.some(({ status }) => status === 429))
  t.true(flood.filter(({ status }) => status === 200).length >= 200)
  for (const path of ['/healthz', '/readyz', '/metrics'])
    t.is((await n1.call('GET', path, { headers: { 'x-forwarded-for': '198.51.100.2' } })).status, 200)
  t.is((await n1.call('GET', '/api/v1/auth', { headers: { 'x-forwarded-for': '198.51.100.3' } })).status, 200)
})

test('behind nginx and HAProxy an address is the client’s own, whatever it says of itself', async t => {
  const auditFile = join(await temporaryFolder(t, 'proxied'), 'audit.jsonl')
  const nodes = await started(t, 1, { LENS_NODE_TRUSTED_PROXIES: '127.0.0.1', LENS_AUDIT_FILE: auditFile })
  const [{ url }] = nodes as [NodeProcess]
  for (const kind of ['nginx', 'haproxy'] as const) {
    const place = new URL(url).host
    const proxy = await startProxy(t, kind, [place, place, place])
    await new Promise<void>((resolve, reject) => {
      // From another address of this machine: it is no proxy's.
      const headers = { 'content-type': 'application/json', 'x-forwarded-for': '203.0.113.7' }
      const options = { method: 'POST', agent: false, localAddress: '127.0.0.2', headers } as const
      const opening = request(`${proxy.url}/api/v1/sessions`, options, answer => {
        answer.resume().once('end', resolve)
      })
      opening.on('error', reject).end(JSON.stringify({ user: kind }))
    })
  }
  const lines = readFileSync(auditFile, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  t.deepEqual(
    lines.map(({ user, address }) => [user, address]),
    [
      ['nginx', '127.0.0.2'],
      ['haproxy', '127.0.0.2'],
    ],
  )
})

test('a node with a configuration by which nobody could sign in says what is wrong and does not start', async t => {
  const folder = await temporaryFolder(t, 'sign-in')
  const file = join(folder, 'users')
  writeFileSync(file, 'ada:plain text\n')
  const cluster = new TestCluster(null)
  t.teardown(() => cluster.stop())
  const said = async (env: Record<string, string>) => {
    const node = await cluster.start({ name: 'n1', env })
    t.not((await node.exited).code, 0)
    return JSON.stringify(node.log)
  }
  t.regex(await said({ LENS_AUTH_METHOD: 'basic' }), /auth\.usersFile: required with auth\.method basic/)
  t.regex(await said({ LENS_AUTH_METHOD: 'basic', LENS_AUTH_USERS_FILE: file }), /line 1: expected a user's name/)
  const faults = await said({ LENS_AUTH_METHOD: 'jwt', LENS_AUTH_JWT_ISSUER: 'http://issuer.example' })
  t.regex(faults, /auth\.jwt\.audience: required/)
  t.regex(faults, /auth\.jwt\.issuer: expected an https URL/)
})
