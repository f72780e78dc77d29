/** Machines over HTTP on a real node: drawn from the definitions, replayed to any version, and seen only by who may. */
import test from 'ava'
import type { MachineGraph, MachineMoment } from '../../../src/domain/index.ts'
import { TestCluster } from '../../support/nodes.ts'

const cluster = new TestCluster(null)
let node: Awaited<ReturnType<TestCluster['start']>>
let token: string

test.before(async () => {
  node = await cluster.start({ name: 'n1' })
  await node.ready()
  token = (await node.session('ann')).token
})
test.after.always(() => cluster.stop())

const get = (path: string, as: string) => fetch(node.url + path, { headers: { authorization: `Bearer ${as}` } })

test('the graphs have every nested state, and no transition leads out of them', async t => {
  const answer = await get('/api/v1/machines', token)
  t.is(answer.status, 200)
  const { query, session } = (await answer.json()) as { query: MachineGraph; session: MachineGraph }
  t.is(session.initial, 'NEW')
  const nested = query.states.find(({ path }) => path === 'LAUNCHED.submitting')
  t.like(nested, { key: 'submitting', parent: 'LAUNCHED', type: 'atomic' })
  t.is(query.states.find(({ path }) => path === 'LAUNCHED')?.initial, 'LAUNCHED.submitting')
  t.true(query.transitions.some(({ source, event, guard }) => source === '' && event === 'CLAIMED' && !!guard))
  t.true(
    query.transitions.some(
      ({ source, target }) => source === 'LAUNCHED.submitting' && target === 'RUNNING.following',
    ) || query.transitions.some(({ source, target }) => source === 'LAUNCHED.submitting' && target === 'RUNNING'),
  )
  for (const graph of [query, session]) {
    const paths = new Set(graph.states.map(({ path }) => path))
    for (const { source, target } of graph.transitions) {
      t.true(source === '' || paths.has(source), source)
      t.true(target === null || paths.has(target), String(target))
    }
  }
})

test('any version of a query is replayed; others are refused, and other users see nothing', async t => {
  const { handle } = await node.submit(token, { sql: 'select 1' })
  const { version, status } = await node.ended(token, handle)
  t.is(status, 'SUCCESSFUL')
  const path = `/api/v1/queries/${handle}/machine`
  const moment = async (suffix: string) => (await (await get(path + suffix, token)).json()) as MachineMoment
  t.like(await moment(''), { version, value: 'SUCCESSFUL' })
  t.like(await moment('?version=1'), { version: 1, value: 'QUEUED' })
  const seen = []
  for (let at = 1; at <= version; at++) seen.push((await moment(`?version=${at}`)).version)
  t.deepEqual(
    seen,
    seen.map((_, index) => index + 1),
  )
  t.is((await get(`${path}?version=${version + 1}`, token)).status, 404)
  t.is((await get(`${path}?version=0`, token)).status, 400)
  t.is((await get(path, (await node.session('bob')).token)).status, 404)
})

test('a session shows its present state, without what looks like a secret', async t => {
  const opened = await fetch(`${node.url}/api/v1/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user: 'ann', properties: { 'db.password': 'hunter2', 'api-key': 'hunter2', zone: 'utc' } }),
  })
  const { id, token: own } = (await opened.json()) as { id: string; token: string }
  const answer = await get(`/api/v1/sessions/${id}/machine`, own)
  const text = await answer.text()
  t.false(text.includes('hunter2') || text.includes(own.split('.')[1] as string), text)
  t.like(JSON.parse(text), { version: 1, value: 'OPEN', context: { properties: { zone: 'utc' } } })
  t.is((await get(`/api/v1/sessions/${id}/machine?version=2`, own)).status, 404)
  t.is((await get(`/api/v1/sessions/${id}/machine`, (await node.session('bob')).token)).status, 404)
})

test('any past moment of an open session is replayed, without its secrets', async t => {
  const { id, token: own } = await node.session('carl', { properties: { 'api-key': 'hunter2', zone: 'utc' } })
  const path = `/api/v1/sessions/${id}/machine`
  for (const body of [{ properties: { zone: 'cet' } }, { database: 'flights', properties: { zone: null } }])
    t.is((await node.call('PATCH', `/api/v1/sessions/${id}`, { token: own, body })).status, 200)
  const at = async (version: number) => (await node.call('GET', `${path}?version=${version}`, { token: own })).body
  const seen = { 'api-key': '[redacted]' }
  const moments = [
    { version: 1, database: null, properties: { ...seen, zone: 'utc' } },
    { version: 2, database: null, properties: { ...seen, zone: 'cet' } },
    { version: 3, database: 'flights', properties: seen },
  ]
  for (const moment of moments)
    t.deepEqual(await at(moment.version), {
      version: moment.version,
      value: 'OPEN',
      context: { id, user: 'carl', ...moment },
    })
  t.deepEqual((await node.call('GET', path, { token: own })).body, await at(3))
  t.regex((await at(4)).detail, /expected 1 to 3/)
  t.is((await get(`${path}?version=1`, (await node.session('bob')).token)).status, 404)
})
