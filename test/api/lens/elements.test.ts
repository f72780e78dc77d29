/** Elements of Lens with everything that they can tell, which no single query has. */
import test from 'ava'
import { lensQuery, queryCost, queryPlan } from '../../../src/api/lens/answers.ts'
import { write } from '../../../src/api/lens/document.ts'
import type { QueryView } from '../../../src/domain/index.ts'

const query: QueryView = {
  ...{ handle: 'h', sessionId: 's', user: 'ann', name: 'daily', sql: 'select 1', operation: 'execute', mode: 'async' },
  ...{ lane: 'heavy', priority: 'low', engine: 'duckdb', status: 'QUEUED', outcome: null, version: 7, attempt: 2 },
  ...{ progress: { fraction: 0.25, message: 'a quarter' }, queuePosition: 3, owner: { node: 'n1', epoch: 2 } },
  failedAttempts: [
    { attempt: 1, node: 'n1', engine: 'duckdb', code: 'NODE_LOST', message: 'it died', at: '2024-01-01T00:00:03.000Z' },
    { attempt: 2, node: 'n2', engine: null, code: 'NODE_LOST', message: 'too', at: '2024-01-01T00:00:04.000Z' },
  ],
  ...{
    error: { code: 'NODE_LOST', message: 'so <far>' },
    result: null,
    plan: 'a + b',
    submittedAt: '2024-01-01T00:00:00.000Z',
  },
  estimate: { cost: 12.5, rows: null, lane: 'heavy' },
  ...{ launchedAt: '2024-01-01T00:00:01.000Z', startedAt: '2024-01-01T00:00:02.000Z', finishedAt: null },
}
const [submission, launch, start] = [1_704_067_200_000, 1_704_067_201_000, 1_704_067_202_000]

test('a query that waits again after attempts that failed', t => {
  const document = { root: 'lensQuery', content: lensQuery(query, { k: 'v' }) }
  t.deepEqual(JSON.parse(write(document, 'json')).lensQuery, {
    ...{
      queryHandle: { handleId: 'h' },
      userQuery: 'select 1',
      submittedUser: 'ann',
      priority: 'LOW',
      isPersistent: true,
    },
    ...{ selectedDriverName: 'duckdb', driverQuery: 'select 1' },
    status: {
      ...{ progress: 0.25, status: 'QUEUED', statusMessage: 'Query queued', isResultSetAvailable: false },
      ...{ queueNumber: 3, progressMessage: 'a quarter', errorMessage: 'so <far>' },
    },
    queryConf: { properties: { entry: [{ key: 'k', value: 'v' }] } },
    ...{ submissionTime: submission, launchTime: launch, driverStartTime: start, driverFinishTime: 0 },
    ...{ finishTime: 0, closedTime: 0, queryName: 'daily' },
    failedAttempts: [
      {
        driverName: 'duckdb',
        progress: 0,
        errorMessage: 'it died',
        driverStartTime: 0,
        driverFinishTime: start + 1_000,
      },
      { progress: 0, errorMessage: 'too', driverStartTime: 0, driverFinishTime: start + 2_000 },
    ],
  })
  const attempt = (driver: string, message: string, at: number) =>
    `<failedAttempts>${driver}<progress>0</progress><errorMessage>${message}</errorMessage><driverStartTime>0</driverStartTime><driverFinishTime>${at}</driverFinishTime></failedAttempts>`
  t.is(
    write(document, 'xml').replace(/^<\?.*?\?>/, ''),
    '<lensQuery><queryHandle><handleId>h</handleId></queryHandle><userQuery>select 1</userQuery><submittedUser>ann</submittedUser><priority>LOW</priority><isPersistent>true</isPersistent><selectedDriverName>duckdb</selectedDriverName><driverQuery>select 1</driverQuery>' +
      '<status><progress>0.25</progress><status>QUEUED</status><statusMessage>Query queued</statusMessage><isResultSetAvailable>false</isResultSetAvailable><queueNumber>3</queueNumber><progressMessage>a quarter</progressMessage><errorMessage>so &lt;far&gt;</errorMessage></status>' +
      '<queryConf><properties><entry><key>k</key><value>v</value></entry></properties></queryConf>' +
      `<submissionTime>${submission}</submissionTime><launchTime>${launch}</launchTime><driverStartTime>${start}</driverStartTime><driverFinishTime>0</driverFinishTime><finishTime>0</finishTime><closedTime>0</closedTime><queryName>daily</queryName>` +
      `<failedAttempts>${attempt('<driverName>duckdb</driverName>', 'it died', start + 1_000)}${attempt('', 'too', start + 2_000)}</failedAttempts></lensQuery>`,
  )
})

test('a heavy plan, whose text is written as Java undoes it', t => {
  const { execMode, planString } = queryPlan(query)
  t.deepEqual([execMode, planString], ['BATCH', 'a+%2B+b'])
  t.deepEqual(queryCost(query), { estimatedResourceUsage: 12.5, costType: 'HIGH' })
})
