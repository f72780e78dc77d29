/** The published Java client of Apache Lens, unmodified, against a cluster; and over the death of the node that it waits at. */
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { ask, brokenInvariants } from '../../../support/invariants.ts'
import { startProcess, type TestProcess } from '../../../support/processes.ts'
import { startProxy } from '../../../support/proxies.ts'
import { sharedCluster } from '../../../support/shared-cluster.ts'
import { sleepingFor } from '../../../support/sleeping.ts'

const shared = sharedCluster(test, { nodes: 3, env: { LENS_LIMITS_RUNNING_PER_USER: '10' } })
const scenario = fileURLToPath(new URL('Scenario.java', import.meta.url))

function start(t: { teardown(task: () => unknown): void }, ...args: readonly string[]): TestProcess {
  const { LENS_TEST_JAVA: java, LENS_TEST_LENS_JARS: jars } = process.env
  if (!java || !jars) throw new Error('LENS_TEST_JAVA is not set: npm run lens:clients fetches the client and sets it')
  return startProcess(t, java, ['-cp', jars, scenario, ...args])
}

/** What it has said, by name. Its own log has no tabs. */
async function said(client: TestProcess): Promise<Record<string, string>> {
  const { code } = await client.exited
  if (code !== 0) throw new Error(`the client has ended with ${code}:\n${client.out.slice(-3_000)}\n${client.err}`)
  return Object.fromEntries(
    client.out
      .split('\n')
      .map(line => line.split('\t'))
      .filter((parts): parts is [string, string] => parts.length === 2 && /^[a-z]/.test(parts[0] as string)),
  )
}

test.serial('sessions, statements, result sets, prepared queries, errors and kills', async t => {
  const answers = await said(start(t, 'all', `${shared.node('n1').url}/lensapi`))
  const { 'a syntax error': syntax = '', 'a failure': failure = '', ...rest } = answers
  t.deepEqual(rest, {
    open: 'true',
    'set a parameter': 'SUCCEEDED',
    'the parameter': '[lens.test=value]',
    'execute and wait': 'SUCCESSFUL true',
    columns: 'a INT;b STRING;',
    rows: "[1, it's][2, null]",
    'rows over HTTP': "200 1,it's\r\\n2,\r\\n",
    query: '63 named ada',
    'close the result': 'true',
    'execute, then wait': 'SUCCESSFUL',
    'its rows': '[7]',
    explain: 'true',
    prepare: 'SELECT 5 AS five',
    'execute the prepared': '[5]',
    'explain and prepare': 'true',
    'all prepared': '2',
    'destroy the prepared': 'true',
    'all prepared then': '1',
    'queries of this name': '1 true',
    kill: 'true',
    killed: 'CANCELED',
    close: 'SUCCEEDED',
    'the client’s rows': '[11]',
    'the client’s rows later': '[12]',
    'the client’s plan': 'true',
    'the client’s close': 'SUCCEEDED',
  })
  t.regex(syntax, /^4001 .*syntax error/)
  t.regex(failure, /^FAILED .*Could not convert string 'x'/)
})

test.serial('a client that waits behind a proxy goes on when the owner of its query is killed', async t => {
  const proxy = await startProxy(
    t,
    'haproxy',
    shared.nodes.map(({ url }) => new URL(url).host),
  )
  const client = start(t, 'waits', `${proxy.url}/lensapi`, sleepingFor(4_000))
  const [, handle = ''] = await client.output(/^submitted\t(\S+)$/m)
  const [row] = await ask(shared.storeUrl, 'SELECT owner_node AS node FROM current_query WHERE handle = ?', [handle])
  await shared.node(String(row?.node)).kill()
  t.like(await said(client), {
    ended: 'SUCCESSFUL',
    rows: '[true]',
    'the parameter': '[lens.test=value]',
    close: 'SUCCEEDED',
  })
  t.deepEqual(await brokenInvariants(shared.storeUrl, [handle]), [])
  await shared.restore()
})

for (const drains of [false, true])
  test.serial(`every node is ${drains ? 'redeployed' : 'killed'} in turn while it waits`, async t => {
    const hosts = shared.nodes.map(({ url }) => new URL(url).host)
    const proxy = await startProxy(t, 'haproxy', hosts)
    const client = start(t, 'waits', `${proxy.url}/lensapi`, sleepingFor(3_000))
    await client.output(/^submitted\t(\S+)$/m)
    for (const name of ['n1', 'n2', 'n3']) {
      const node = shared.node(name)
      const { port } = new URL(node.url)
      if (drains) await node.terminate()
      else await node.kill()
      const again = await shared.cluster.start({ name, port: Number(port) })
      await again.ready()
      await shared.cluster.settled(3)
    }
    t.like(await said(client), { ended: 'SUCCESSFUL', rows: '[true]', close: 'SUCCEEDED' })
  })
