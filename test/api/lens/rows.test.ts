/**
 * Every row of Lens's tables of sessions and of queries, in both forms of its answer: without a session, with a handle whose
 * secret is wrong, with a session that owns nothing of it, and as it should be.
 */
import test, { type ExecutionContext } from 'ava'
import { eventually } from '../../support/conditions.ts'
import {
  conf,
  emptyConf,
  json,
  type LensAnswer,
  lens,
  lensQueryOf,
  openLens,
  type Parts,
  submitLens,
} from '../../support/lens-protocol.ts'
import { TestCluster } from '../../support/nodes.ts'
import { endless } from '../../support/sleeping.ts'

const cluster = new TestCluster(null, {
  LENS_LIMITS_SESSIONS_PER_USER: '1000',
  LENS_LIMITS_RUNNING_PER_USER: '1000',
  LENS_LIMITS_QUEUED_PER_USER: '1000',
})
let node: Awaited<ReturnType<TestCluster['start']>>

test.before(async () => {
  node = await cluster.start({ name: 'n1' })
  await node.ready()
})
test.after.always(async t => {
  t.true(node.running)
  await cluster.stop()
})

interface Row {
  readonly method: string
  /** With `HANDLE` or `PREPARED` where it names one. */
  readonly path: string
  readonly title?: string
  /** What the session needs to have. */
  readonly given?: 'ended' | 'running' | 'prepared' | 'resource'
  /** Beside the handle of the session: parts of the body, or else parameters of the query string. */
  readonly parts?: Parts
  readonly query?: Parts
  /** How a failure is written for those who take XML. */
  readonly shape: 'lensAPIResult' | 'apiResult' | 'text'
  /** The answers, with `…` for anything, and names in capitals for what is made anew each time. */
  readonly xml: string
  readonly json: string
}

const both = (status: string, message: string) => ({
  shape: 'apiResult' as const,
  xml: `<apiResult><status>${status}</status><message>${message}</message></apiResult>`,
  json: `{"apiResult":{"status":"${status}","message":"${message}"}}`,
})
const listed = (...elements: string[]) => ({
  shape: 'text' as const,
  xml: `<stringList>${elements.map(each => `<elements>${each}</elements>`).join('')}</stringList>`,
  json: `{"stringList":{"elements":[${elements.map(each => `"${each}"`).join(',')}]}}`,
})
const submitted = (type: string, xml: string, inJson: string) => ({
  shape: 'lensAPIResult' as const,
  xml: `<lensAPIResultNAMESPACES><id>UUID</id><data xsi:type="${type}">${xml}</data></lensAPIResult>`,
  json: `{"lensAPIResult":{"id":"UUID","data":{"type":"${type}",${inJson}}}}`,
})
const statement = { query: 'select 7::int n', conf: emptyConf }
const columns = {
  xml: '<columns><columns><name>n</name><type>INT</type></columns></columns>',
  json: '"columns":[{"name":"n","type":"INT"}]',
}
const seven = {
  xml: '<rows><rows><values><values xsi:type="xs:int">7</values></values></rows></rows>',
  json: '"rows":[{"values":[{"type":"int","value":7}]}]',
}
const waited = {
  xml: `<queryHandle><handleId>UUID</handleId></queryHandle><result xsi:type="inMemoryQueryResult">${seven.xml}</result><resultMetadata>${columns.xml}</resultMetadata><status><progress>1</progress><status>SUCCESSFUL</status>…</status>`,
  json: `"queryHandle":{"handleId":"UUID"},"result":{"type":"inMemoryQueryResult",${seven.json}},"resultMetadata":{${columns.json}},"status":{"progress":1,"status":"SUCCESSFUL"…}`,
}
const ended = {
  xml: '<lensQuery><queryHandle><handleId>HANDLE</handleId></queryHandle><userQuery>select 7::int n</userQuery><submittedUser>USER</submittedUser>…<status><progress>1</progress><status>SUCCESSFUL</status>…<isResultSetAvailable>true</isResultSetAvailable></status><queryConf><properties><entry><key>colour</key><value>blue</value></entry></properties></queryConf>…</lensQuery>',
  json: '{"lensQuery":{"queryHandle":{"handleId":"HANDLE"},"userQuery":"select 7::int n","submittedUser":"USER",…"status":{"progress":1,"status":"SUCCESSFUL",…"isResultSetAvailable":true},"queryConf":{"properties":{"entry":[{"key":"colour","value":"blue"}]}},…}}',
}

const rows: readonly Row[] = [
  { method: 'DELETE', path: '/session', ...both('SUCCEEDED', 'Close session with id UUID succeeded') },
  {
    ...{ method: 'PUT', path: '/session/resources/add', parts: { type: 'jar', path: '/b.jar' } },
    ...both('SUCCEEDED', 'Add resource succeeded'),
  },
  {
    ...{ method: 'PUT', path: '/session/resources/delete', given: 'resource', parts: { type: 'JAR', path: '/a.jar' } },
    ...both('SUCCEEDED', 'Delete resource succeeded'),
  },
  { method: 'GET', path: '/session/resources/list', given: 'resource', ...listed('type=JAR path=/a.jar') },
  { method: 'GET', path: '/session/params', query: { key: 'colour' }, ...listed('colour=blue') },
  {
    ...{ method: 'PUT', path: '/session/params', parts: { key: 'colour', value: 'red' } },
    ...both('SUCCEEDED', 'Set param succeeded'),
  },
  {
    ...{ method: 'GET', path: '/session/sessions', given: 'running', shape: 'text' },
    xml: '<userSessionInfoes><userSessionInfo><handle>UUID</handle><userName>USER</userName><activeQueries><activeQueries><handleId>HANDLE</handleId></activeQueries></activeQueries><creationTime>TIME</creationTime><lastAccessTime>TIME</lastAccessTime></userSessionInfo></userSessionInfoes>',
    json: '[{"userSessionInfo":{"handle":"UUID","userName":"USER","activeQueries":[{"handleId":"HANDLE"}],"creationTime":TIME,"lastAccessTime":TIME}}]',
  },
  {
    ...{ method: 'GET', path: '/session/sessionsperuser', shape: 'text' },
    xml: '<sessionPerUserInfoes><sessionPerUserInfo><user>USER</user><sessionCount>1</sessionCount></sessionPerUserInfo></sessionPerUserInfoes>',
    json: '[{"sessionPerUserInfo":{"user":"USER","sessionCount":1}}]',
  },
  {
    ...{ method: 'DELETE', path: '/session/sessions' },
    ...both('SUCCEEDED', 'cleared 0 idle sessions: idle sessions expire by themselves'),
  },
  {
    ...{ method: 'GET', path: '/queryapi/queries', given: 'ended', shape: 'text' },
    xml: '<queryHandles><queryHandle><handleId>HANDLE</handleId></queryHandle></queryHandles>',
    json: '[{"queryHandle":{"handleId":"HANDLE"}}]',
  },
  {
    ...{ method: 'GET', path: '/queryapi/queries/detail', given: 'ended', shape: 'text' },
    ...{ xml: `<lensQueries>${ended.xml}</lensQueries>`, json: `[${ended.json}]` },
  },
  {
    ...{ method: 'POST', path: '/queryapi/queries', title: 'execute', parts: { ...statement, operation: 'execute' } },
    ...submitted('queryHandle', '<handleId>UUID</handleId>', '"handleId":"UUID"'),
  },
  {
    ...{ method: 'POST', path: '/queryapi/queries', title: 'execute_with_timeout' },
    parts: { ...statement, operation: 'EXECUTE_WITH_TIMEOUT', timeoutmillis: '9223372036854775807' },
    ...submitted('queryHandleWithResultSet', waited.xml, waited.json),
  },
  {
    ...{ method: 'POST', path: '/queryapi/queries', title: 'explain', parts: { ...statement, operation: 'Explain' } },
    ...submitted(
      'queryPlan',
      '<hasSubQuery>false</hasSubQuery><execMode>INTERACTIVE</execMode><planString>…</planString><queryCost>…<costType>LOW</costType></queryCost>',
      '"hasSubQuery":false,"execMode":"INTERACTIVE","planString":"…","queryCost":{…"costType":"LOW"}',
    ),
  },
  {
    ...{ method: 'POST', path: '/queryapi/queries', title: 'estimate', parts: { ...statement, operation: 'ESTIMATE' } },
    ...submitted(
      'queryCostTO',
      '<estimatedResourceUsage>…</estimatedResourceUsage><costType>LOW</costType>',
      '"estimatedResourceUsage":…,"costType":"LOW"',
    ),
  },
  { method: 'DELETE', path: '/queryapi/queries', given: 'running', ...both('SUCCEEDED', 'Cancelled 1 queries') },
  { method: 'GET', path: '/queryapi/queries/HANDLE', given: 'ended', ...ended, shape: 'text' },
  {
    ...{ method: 'PUT', path: '/queryapi/queries/HANDLE', given: 'running', parts: { conf: emptyConf } },
    ...both('FAILED', 'The query is …: its configuration was made durable when it was accepted'),
  },
  {
    ...{ method: 'DELETE', path: '/queryapi/queries/HANDLE', given: 'running' },
    ...both('SUCCEEDED', 'Cancel on the query HANDLE is successful'),
  },
  {
    ...{ method: 'DELETE', path: '/queryapi/queries/HANDLE', title: 'that has ended', given: 'ended' },
    ...both('FAILED', 'Cancel on the query HANDLE failed: it had finished'),
  },
  {
    ...{ method: 'GET', path: '/queryapi/queries/HANDLE/resultsetmetadata', given: 'ended', shape: 'text' },
    xml: `<queryResultSetMetadata>${columns.xml}</queryResultSetMetadata>`,
    json: `{"queryResultSetMetadata":{${columns.json}}}`,
  },
  {
    ...{ method: 'GET', path: '/queryapi/queries/HANDLE/resultset', given: 'ended', shape: 'text' },
    xml: `<inMemoryQueryResultNAMESPACES>${seven.xml}</inMemoryQueryResult>`,
    json: `{"inMemoryQueryResult":{${seven.json}}}`,
  },
  {
    ...{ method: 'GET', path: '/queryapi/queries/HANDLE/httpresultset', given: 'ended', shape: 'text' },
    ...{ xml: '7\r\n', json: '7\r\n' },
  },
  {
    ...{ method: 'DELETE', path: '/queryapi/queries/HANDLE/resultset', given: 'ended' },
    ...both('SUCCEEDED', 'Close result set of the query HANDLE is successful'),
  },
  {
    ...{ method: 'GET', path: '/queryapi/preparedqueries', given: 'prepared', shape: 'text' },
    xml: '<queryPrepareHandles><queryPrepareHandle><prepareHandleId>PREPARED</prepareHandleId></queryPrepareHandle></queryPrepareHandles>',
    json: '[{"queryPrepareHandle":{"prepareHandleId":"PREPARED"}}]',
  },
  {
    ...{ method: 'POST', path: '/queryapi/preparedqueries', title: 'prepare' },
    parts: { ...statement, operation: 'PREPARE', queryName: 'seven' },
    ...submitted('queryPrepareHandle', '<prepareHandleId>UUID</prepareHandleId>', '"prepareHandleId":"UUID"'),
  },
  {
    ...{ method: 'POST', path: '/queryapi/preparedqueries', title: 'explain_and_prepare' },
    parts: { ...statement, operation: 'explain_and_prepare' },
    ...submitted(
      'queryPlan',
      '<hasSubQuery>false</hasSubQuery><execMode>INTERACTIVE</execMode><prepareHandle><prepareHandleId>UUID</prepareHandleId></prepareHandle><planString>…</planString><queryCost>…</queryCost>',
      '"hasSubQuery":false,"execMode":"INTERACTIVE","prepareHandle":{"prepareHandleId":"UUID"},"planString":"…","queryCost":{…}',
    ),
  },
  {
    ...{ method: 'DELETE', path: '/queryapi/preparedqueries', given: 'prepared' },
    ...both('SUCCEEDED', 'Destroyed 1 prepared queries'),
  },
  {
    ...{ method: 'GET', path: '/queryapi/preparedqueries/PREPARED', given: 'prepared', shape: 'text' },
    xml: '<lensPreparedQuery><prepareHandle><prepareHandleId>PREPARED</prepareHandleId></prepareHandle><userQuery>select 7::int n</userQuery><preparedTime>…</preparedTime><preparedUser>USER</preparedUser><selectedDriverName>duckdb</selectedDriverName><driverQuery>select 7::int n</driverQuery></lensPreparedQuery>',
    json: '{"lensPreparedQuery":{"prepareHandle":{"prepareHandleId":"PREPARED"},"userQuery":"select 7::int n","preparedTime":"…","preparedUser":"USER","selectedDriverName":"duckdb","driverQuery":"select 7::int n"}}',
  },
  {
    ...{ method: 'PUT', path: '/queryapi/preparedqueries/PREPARED', given: 'prepared', parts: { conf: emptyConf } },
    ...both('FAILED', 'A prepared query keeps its configuration; an execution may bring another'),
  },
  {
    ...{ method: 'DELETE', path: '/queryapi/preparedqueries/PREPARED', given: 'prepared' },
    ...both('SUCCEEDED', 'Destroy on the query PREPARED is successful'),
  },
  {
    ...{ method: 'POST', path: '/queryapi/preparedqueries/PREPARED', title: 'execute', given: 'prepared' },
    ...{ parts: { operation: 'EXECUTE', conf: emptyConf, queryName: '' }, shape: 'text' },
    ...{ xml: '<queryHandle><handleId>UUID</handleId></queryHandle>', json: '{"queryHandle":{"handleId":"UUID"}}' },
  },
  {
    ...{ method: 'POST', path: '/queryapi/preparedqueries/PREPARED', title: 'execute_with_timeout', given: 'prepared' },
    ...{ parts: { operation: 'execute_with_timeout', timeoutmillis: '20000' }, shape: 'text' },
    xml: `<queryHandleWithResultSetNAMESPACES>${waited.xml}</queryHandleWithResultSet>`,
    json: `{"queryHandleWithResultSet":{${waited.json}}}`,
  },
]

interface Made {
  readonly user: string
  readonly sessionid: string
  readonly handle: string
  readonly prepared: string
}
let users = 0

/** A session of a user of its own, and what the row speaks of. */
async function make(given: Row['given']): Promise<Made> {
  const user = `user-${users++}`
  const sessionid = await openLens(node, user, conf({ colour: 'blue' }))
  const made = { user, sessionid, handle: never, prepared: never }
  if (given === 'resource')
    await lens(node, 'PUT', '/session/resources/add', { parts: { sessionid, type: 'jar', path: '/a.jar' } })
  if (given === 'prepared') {
    const parts = { sessionid, ...statement, operation: 'prepare' }
    const { json: answer } = await lens(node, 'POST', '/queryapi/preparedqueries', { parts, accept: json })
    return { ...made, prepared: answer.lensAPIResult.data.prepareHandleId }
  }
  if (given === 'ended' || given === 'running') {
    const handle = await submitLens(node, sessionid, given === 'ended' ? statement.query : endless)
    if (given === 'ended')
      await eventually(
        () => lensQueryOf(node, sessionid, handle),
        ({ status }) => status.status === 'SUCCESSFUL',
        { what: `${handle} ends` },
      )
    return { ...made, handle }
  }
  return made
}

const never = '00000000-0000-4000-8000-000000000000'
const prolog = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
const uuid = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'

function matching(pattern: string, { user, handle, prepared }: Made): RegExp {
  const meanings: Record<string, string> = {
    ...{ '…': '[^]*', UUID: uuid, TIME: '\\d{13}', NAMESPACES: '(?: xmlns:xsi?="[^"]+")*' },
    ...{ HANDLE: handle, PREPARED: prepared, USER: user },
  }
  const escaped = pattern.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(
    `^${escaped.replaceAll(/…|UUID|TIME|NAMESPACES|HANDLE|PREPARED|USER/g, name => `${meanings[name]}`)}$`,
  )
}

function call({ method, path, parts, query }: Row, made: Made, sessionid: string | null, isJson: boolean, slash = '') {
  const target = `${path.replace('HANDLE', made.handle).replace('PREPARED', made.prepared)}${slash}`
  const whose: Parts = sessionid === null ? {} : { sessionid }
  return lens(node, method, target, {
    ...(parts
      ? { parts: { ...whose, ...parts }, form: isJson ? 'python' : 'java' }
      : { query: { ...whose, ...query } }),
    ...(isJson ? { accept: json } : {}),
  })
}

/** That a failure has the form which its row has in Lens. */
function refused(t: ExecutionContext, row: Row, isJson: boolean, answer: LensAnswer, status: number, code: number) {
  const { text, headers } = answer
  t.is(answer.status, status, text)
  if (isJson) {
    t.like(answer.json.lensAPIResult.error, { code })
    t.true(answer.json.lensAPIResult.error.message.length > 0)
  } else if (row.shape === 'text') t.regex(headers['content-type'] as string, /^text\/plain/)
  else {
    const inside =
      row.shape === 'apiResult'
        ? '<apiResult><status>FAILED</status><message>…</message></apiResult>'
        : `<lensAPIResult><id>UUID</id><error><code>${code}</code><message>…</message></error></lensAPIResult>`
    t.regex(text, matching(prolog + inside, nothing))
  }
}
const nothing: Made = { user: '', sessionid: '', handle: never, prepared: never }

for (const row of rows)
  for (const isJson of [true, false]) {
    const { method, path, title = '', given } = row
    test(`${method} ${path} ${title} in ${isJson ? 'JSON' : 'XML'}`, async t => {
      const made = await make(given)
      const { sessionid } = made
      const secret = /<secretId>(.*)<\/secretId>/.exec(sessionid)?.[1] as string
      const forged = sessionid.replace(secret, `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`)
      for (const slash of ['', '/']) {
        refused(t, row, isJson, await call(row, made, null, isJson, slash), 400, 2001)
        refused(t, row, isJson, await call(row, made, '<lensSessionHandle/>', isJson, slash), 400, 2001)
        refused(t, row, isJson, await call(row, made, forged, isJson, slash), 410, 2005)
      }
      if (/HANDLE|PREPARED/.test(path)) {
        const stranger = await openLens(node, 'stranger')
        refused(t, row, isJson, await call(row, made, stranger, isJson), 404, 1003)
        const malformed = { ...made, handle: '17', prepared: '17' }
        refused(t, row, isJson, await call(row, malformed, sessionid, isJson), 400, 2006)
        const unknown = { ...made, handle: never, prepared: never }
        refused(t, row, isJson, await call(row, unknown, sessionid, isJson), 404, 1003)
      }
      // Nothing of what was refused has had an effect.
      const { status, text } = await call(row, made, sessionid, isJson, isJson ? '/' : '')
      t.is(status, 200, text)
      const declared = !isJson && row.xml.startsWith('<') ? prolog : ''
      t.regex(text, matching(declared + (isJson ? row.json : row.xml), made))
      if (given === 'running') await lens(node, 'DELETE', '/queryapi/queries', { query: { sessionid } })
    })
  }
