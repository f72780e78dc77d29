/**
 * The rules of sessions and of queries over two nodes, through the door of Lens's protocol and in its XML: what the database
 * says of a session every node says, and what was accepted goes on when the node that accepted it is killed.
 */
import { randomUUID } from 'node:crypto'
import { type IncomingMessage, request } from 'node:http'
import test from 'ava'
import { eventually } from '../support/conditions.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { conf, emptyConf, json, lens, lensQueryOf, openLens, submitLens } from '../support/lens-protocol.ts'
import type { NodeProcess } from '../support/nodes.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { endless, sleepingFor } from '../support/sleeping.ts'

const shared = sharedCluster(test, {
  nodes: 2,
  // With a limit, so that its counters are kept and can be compared; and queries of one user wait for one another.
  env: { LENS_LIMITS_RUNNING_PER_USER: '2' },
})
const names = ['n1', 'n2'] as const

const idOf = (sessionid: string) => /<publicId>(.*)<\/publicId>/.exec(sessionid)?.[1] as string
function forged(sessionid: string): string {
  const secret = /<secretId>(.*)<\/secretId>/.exec(sessionid)?.[1] as string
  return sessionid.replace(secret, `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`)
}

/** The parameters that were set, in XML; the status where it is refused. */
async function seenAt(node: NodeProcess, sessionid: string): Promise<number | string[]> {
  const { status, text } = await lens(node, 'GET', '/session/params', { query: { sessionid } })
  if (status !== 200) return status
  return [...text.matchAll(/<elements>(colour=[^<]*)<\/elements>/g)].map(([, element]) => element as string)
}

function reaches(node: NodeProcess, sessionid: string, handle: string, ...statuses: string[]) {
  return eventually(
    () => lensQueryOf(node, sessionid, handle),
    query => statuses.includes(query.status.status),
    { what: `${handle} is ${statuses.join(' or ')} on ${node.name}` },
  )
}

interface Cell {
  readonly title: string
  /** Brings a session there that was opened on n1; `remembered` by n2 too. */
  arrange(sessionid: string, remember: () => Promise<unknown>): Promise<unknown>
  readonly expected: number | string[]
}

const cells: readonly Cell[] = [
  { title: 'a row, unknown to the other node', arrange: async () => {}, expected: ['colour=blue'] },
  {
    title: 'a row that the other node changed',
    async arrange(sessionid, remember) {
      await remember()
      await lens(shared.node('n2'), 'PUT', '/session/params', { parts: { sessionid, key: 'colour', value: 'red' } })
    },
    expected: ['colour=red'],
  },
  {
    title: 'a row that changed without a word to any node',
    async arrange(sessionid, remember) {
      await remember()
      await ask(shared.storeUrl, 'UPDATE session SET version = version + 1, properties = ? WHERE id = ?', [
        JSON.stringify({ colour: 'green' }),
        idOf(sessionid),
      ])
    },
    expected: ['colour=green'],
  },
  {
    title: 'no row any more, closed on the other node',
    async arrange(sessionid, remember) {
      await remember()
      await lens(shared.node('n2'), 'DELETE', '/session', { query: { sessionid } })
    },
    expected: 410,
  },
  {
    title: 'no row any more, gone without a word to any node',
    async arrange(sessionid, remember) {
      await remember()
      await ask(shared.storeUrl, 'DELETE FROM session WHERE id = ?', [idOf(sessionid)])
    },
    expected: 410,
  },
  {
    title: 'closing, as its query still runs',
    async arrange(sessionid, remember) {
      await remember()
      const handle = await submitLens(shared.node('n1'), sessionid, sleepingFor(5_000))
      const closed = await lens(shared.node('n1'), 'DELETE', '/session', { query: { sessionid } })
      const [row] = await ask(shared.storeUrl, 'SELECT status FROM session WHERE id = ?', [idOf(sessionid)])
      const kept = await ask(shared.storeUrl, 'SELECT cancel_requested FROM current_query WHERE handle = ?', [handle])
      if (closed.status !== 200 || row?.status !== 'CLOSING' || kept[0]?.cancel_requested !== 0)
        throw new Error(`${closed.status} ${JSON.stringify([row, kept])}`)
    },
    expected: 410,
  },
  {
    title: 'expired, its row not swept yet',
    async arrange(sessionid, remember) {
      await remember()
      await ask(
        shared.storeUrl,
        'UPDATE session SET last_used_at = created_at - idle_ms * 2, sweep_at = created_at - 1 WHERE id = ?',
        [idOf(sessionid)],
      )
    },
    expected: 410,
  },
]

for (const { title, arrange, expected } of cells)
  test.serial(`${title}: every node says what the row says, to the right secret only`, async t => {
    await shared.restore()
    const [first, second] = [shared.node('n1'), shared.node('n2')]
    const sessionid = await openLens(first, `cell-${randomUUID()}`, conf({ colour: 'blue' }))
    // Durable before it is answered, and no secret is.
    const [row] = await ask(shared.storeUrl, 'SELECT * FROM session WHERE id = ?', [idOf(sessionid)])
    t.is(row?.status, 'OPEN')
    t.false(JSON.stringify(row).includes(/<secretId>(.*)<\/secretId>/.exec(sessionid)?.[1] as string))
    await arrange(sessionid, () => seenAt(second, sessionid))
    for (const name of names) {
      const node = shared.node(name)
      t.is(await seenAt(node, forged(sessionid)), 410, `${name}, wrong secret`)
      t.deepEqual(await seenAt(node, sessionid), expected, name)
      t.is(await seenAt(node, forged(sessionid)), 410, `${name}, wrong again`)
      if (expected !== 410) continue
      // A session that counts as absent is good for nothing, not only for reading.
      const parts = { sessionid, query: 'select 1', operation: 'execute', conf: emptyConf }
      t.is((await lens(node, 'POST', '/queryapi/queries', { parts, form: 'java' })).status, 410)
      t.is((await lens(node, 'DELETE', '/session', { query: { sessionid } })).status, 410)
    }
  })

test.serial(
  'the Java client loses its node and goes on at the other: waiting, running, ended and prepared',
  async t => {
    await shared.restore()
    const [victim, survivor] = [shared.node('n1'), shared.node('n2')]
    const sessionid = await openLens(victim, `java-${randomUUID()}`, conf({ colour: 'blue' }))
    const query = { sessionid }
    const submit = async (sql: string, path = '/queryapi/queries', operation = 'EXECUTE') => {
      const parts = { sessionid, query: sql, operation, queryName: '', conf: emptyConf }
      const { text } = await lens(victim, 'POST', path, { parts, form: 'java' })
      const handle = /<(?:handleId|prepareHandleId)>([^<]+)</.exec(text)?.[1]
      if (!handle) throw new Error(`not accepted: ${text}`)
      return handle
    }
    const ended = await submit('select i::int i from range(3) r(i) order by i')
    await reaches(victim, sessionid, ended, 'SUCCESSFUL')
    const prepared = await submit('select 4::int n', '/queryapi/preparedqueries', 'PREPARE')
    const running = await submit(sleepingFor(4_000))
    const toKill = await submit(endless)
    const waiting = await submit('select 5::int n')
    for (const handle of [running, toKill]) await reaches(victim, sessionid, handle, 'RUNNING')
    t.is((await lensQueryOf(survivor, sessionid, waiting)).status.status, 'QUEUED')

    await victim.kill()

    // From the first request on, and before anybody has taken over: the last durable status, never "unknown".
    for (const handle of [ended, running, toKill, waiting]) {
      const { status, text } = await lens(survivor, 'GET', `/queryapi/queries/${handle}`, { query })
      t.is(status, 200, text)
      t.regex(text, new RegExp(`\\?><lensQuery><queryHandle><handleId>${handle}</handleId></queryHandle>`))
    }
    t.deepEqual(await seenAt(survivor, sessionid), ['colour=blue'])
    const rows = await lens(survivor, 'GET', `/queryapi/queries/${ended}/resultset`, {
      query,
      accept: 'application/xml',
    })
    t.deepEqual(
      [...rows.text.matchAll(/xsi:type="xs:int">(\d)</g)].map(([, value]) => value),
      ['0', '1', '2'],
    )
    const file = await lens(survivor, 'GET', `/queryapi/queries/${ended}/httpresultset`, { query })
    t.is(file.text, '0\r\n1\r\n2\r\n')

    const kill = await lens(survivor, 'DELETE', `/queryapi/queries/${toKill}`, { query })
    t.regex(kill.text, /<apiResult><status>SUCCEEDED<\/status>/)
    await reaches(survivor, sessionid, toKill, 'CANCELED')
    for (const handle of [running, waiting]) await reaches(survivor, sessionid, handle, 'SUCCESSFUL')
    const late = await lens(survivor, 'GET', `/queryapi/queries/${waiting}/resultset`, { query })
    t.regex(late.text, /<rows><rows><values><values xsi:type="xs:int">5<\/values><\/values><\/rows><\/rows>/)

    const at = `/queryapi/preparedqueries/${prepared}`
    const execution = {
      parts: { sessionid, operation: 'EXECUTE_WITH_TIMEOUT', conf: emptyConf },
      form: 'java' as const,
    }
    t.regex((await lens(survivor, 'POST', at, execution)).text, /<values xsi:type="xs:int">4<\/values>/)
    t.regex((await lens(survivor, 'DELETE', at, { query })).text, /<apiResult><status>SUCCEEDED<\/status>/)
    t.regex(
      (await lens(survivor, 'DELETE', `/queryapi/queries/${ended}/resultset`, { query })).text,
      /<apiResult><status>SUCCEEDED<\/status>/,
    )
    t.is((await lens(survivor, 'GET', `/queryapi/queries/${ended}/resultset`, { query })).status, 404)
    t.regex((await lens(survivor, 'DELETE', '/session', { query })).text, /<apiResult><status>SUCCEEDED<\/status>/)
    t.is((await lens(survivor, 'DELETE', '/session', { query })).status, 410)

    // The node that comes back has never seen the session closed, and says the same.
    await shared.restore()
    t.is(await seenAt(shared.node('n1'), sessionid), 410)
    t.deepEqual(await brokenInvariants(shared.storeUrl, [ended, running, toKill, waiting]), [])
  },
)

const manyRows = 150_000

test.serial(
  'a node is killed in the middle of a result: the body is broken, not short, and whole at the other',
  async t => {
    await shared.restore()
    const [victim, survivor] = [shared.node('n1'), shared.node('n2')]
    const sessionid = await openLens(victim, `reader-${randomUUID()}`)
    const handle = await submitLens(
      victim,
      sessionid,
      `select i::int i, repeat('x', 100) x from range(${manyRows}) r(i)`,
    )
    await reaches(victim, sessionid, handle, 'SUCCESSFUL')
    const target = (what: string) =>
      `/lensapi/queryapi/queries/${handle}/${what}?${new URLSearchParams({ sessionid, fetchsize: `${manyRows}` })}`
    const begun = await Promise.all(
      [
        { what: 'httpresultset', accept: '*/*' },
        { what: 'resultset', accept: json },
        { what: 'resultset', accept: 'application/xml' },
      ].map(
        ({ what, accept }) =>
          new Promise<IncomingMessage>((resolve, reject) => {
            const headers = { accept }
            const outgoing = request({
              host: '127.0.0.1',
              port: victim.port,
              path: target(what),
              headers,
              agent: false,
            })
            outgoing.once('response', resolve).once('error', reject).end()
          }),
      ),
    )
    // Nobody reads on, so that most of each body is still to come when the node dies.
    for (const answer of begun) t.is(answer.statusCode, 200)
    await victim.kill()
    for (const answer of begun) {
      const failure = await new Promise<string>(resolve => {
        answer.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
        answer.once('end', () => resolve('it ended as if it were whole'))
        answer.resume()
      })
      t.is(failure, 'ECONNRESET')
      t.false(answer.complete)
    }
    const whole = await lens(survivor, 'GET', `/queryapi/queries/${handle}/httpresultset`, { query: { sessionid } })
    t.is(whole.text.split('\r\n').length, manyRows + 1)
    const inJson = await lens(survivor, 'GET', `/queryapi/queries/${handle}/resultset`, {
      query: { sessionid },
      accept: json,
    })
    t.is(inJson.json.inMemoryQueryResult.rows.length, manyRows)
  },
)
