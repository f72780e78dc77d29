/** The cluster secret is replaced on one node after the other: peers go on speaking, and a repeated opening gets its token. */
import test from 'ava'
import { TestCluster } from '../support/nodes.ts'

const [old, next] = ['the secret of yesterday', 'the secret of tomorrow']

test('a session that was opened with a key is found again by nodes of either secret', async t => {
  const cluster = new TestCluster(null)
  t.teardown(() => cluster.stop())
  const begin = (name: string, env: Record<string, string>) => cluster.start({ name, env })
  const nodes = [
    await begin('n1', { LENS_CLUSTER_SECRET: old, LENS_CLUSTER_SECRET_ACCEPTED: next }),
    await begin('n2', { LENS_CLUSTER_SECRET: next, LENS_CLUSTER_SECRET_ACCEPTED: old }),
  ]
  await Promise.all(nodes.map(node => node.ready()))
  await cluster.settled(2)
  for (const [index, node] of nodes.entries()) {
    const headers = { 'idempotency-key': `key-${index}` }
    const answers = []
    for (const asked of [node, ...nodes])
      answers.push(await asked.call('POST', '/api/v1/sessions', { body: { user: 'ada' }, headers }))
    t.deepEqual(
      answers.map(({ status }) => status),
      [201, 201, 201],
    )
    t.is(new Set(answers.map(({ body }) => body.token)).size, 1)
    t.is((await nodes[0]?.call('GET', '/api/v1/sessions', { token: answers[0]?.body.token }))?.status, 200)
  }
})
