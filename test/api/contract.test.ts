/** docs/api.md, the OpenAPI document and the catalogue of errors say the same: routes, statuses, fields, codes. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { buildApplication } from '../../src/api/application.ts'
import { Origins } from '../../src/api/origins.ts'
import { systemClock, systemRandom } from '../../src/async/index.ts'
import { Believing } from '../../src/auth/index.ts'
import { loadConfig } from '../../src/config/index.ts'
import { errorCatalogue, legalMoves } from '../../src/domain/index.ts'
import type { Gateway } from '../../src/gateway/index.ts'
import { createMetrics, silentLogger } from '../../src/observability/index.ts'
import type { OpenApi } from '../support/openapi.ts'

const page = readFileSync(new URL('../../docs/api.md', import.meta.url), 'utf8')

/** Cells of every table row below a heading, header and rule left out. */
function tableUnder(heading: string): string[][] {
  const [, section = ''] = page.split(`\n## ${heading}\n`)
  const lines = (section.split('\n## ', 1)[0] as string).split('\n').filter(line => line.startsWith('|'))
  return lines
    .filter((line, index) => !line.startsWith('|---') && !lines[index + 1]?.startsWith('|---'))
    .map(line =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map(cell => cell.trim()),
    )
}

const codesIn = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(match => match[1] as string)

let document: OpenApi
const metrics = createMetrics()
test.after.always(() => metrics.close())
test.before(async () => {
  const config = loadConfig({ makeSecret: false })
  // Making the document calls nobody.
  const application = await buildApplication(
    {
      gateway: {} as Gateway,
      authenticator: new Believing(),
      admitAddress: null,
      onRefused: () => {},
      config,
      logger: silentLogger,
      metrics,
      tls: null,
      identity: () => ({ node: 'n', incarnation: 'i' }),
      clock: systemClock,
      random: systemRandom,
    },
    new Origins(config),
    { starting: () => null, untilStarted: async () => null, leaving: () => false },
  )
  document = application.swagger() as unknown as OpenApi
})

interface Call {
  readonly method: string
  readonly path: string
  readonly parameters: readonly string[]
  readonly statuses: readonly number[]
}

function callsOfPage(): Call[] {
  const headings = ['Sessions', 'Queries', 'Prepared queries', 'Cluster and engines', 'Machines', 'Operations']
  return headings.flatMap(heading =>
    tableUnder(heading).flatMap(([call = '', answer = '']) => {
      const found = /^`(GET|POST|PUT|PATCH|DELETE) ([^`?]+)(?:\?([^`]*))?`/.exec(call)
      if (!found) return []
      const [, method = '', path = '', query = ''] = found
      const parameters = query
        .split('&')
        .map(part => part.replace('=', ''))
        .filter(Boolean)
        .sort()
      const statuses = [...new Set([...answer.matchAll(/\b([2-5]\d\d)\b/g)].map(match => Number(match[1])))].sort()
      return [{ method, path, parameters, statuses }]
    }),
  )
}

test('every call of the page is served, and every call that is served is on the page', t => {
  const served = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations)
      .filter(method => method !== 'head')
      .map(method => `${method.toUpperCase()} ${path}`),
  )
  const onPage = callsOfPage().map(({ method, path }) => `${method} ${path}`)
  t.true(onPage.length >= 22, `only ${onPage.length} calls were found on the page`)
  t.deepEqual(onPage.sort(), served.sort())
})

test('query parameters are those of the page', t => {
  for (const { method, path, parameters } of callsOfPage()) {
    const { parameters: served = [] } = document.paths[path]?.[method.toLowerCase()] ?? {}
    const names = served.filter(parameter => parameter.in === 'query').map(parameter => parameter.name)
    t.deepEqual(names.sort(), [...parameters], `${method} ${path}`)
  }
})

test('the statuses of success are those of the page', t => {
  for (const { method, path, statuses } of callsOfPage()) {
    const inDocument = Object.keys(document.paths[path]?.[method.toLowerCase()]?.responses ?? {})
      .filter(status => /^\d+$/.test(status))
      .map(Number)
    // An execution answers as a submission does, and the page says just that.
    if (path.endsWith('/executions')) t.deepEqual(inDocument, [200, 202])
    else if (path === '/api/v1/queries' && method === 'POST') t.deepEqual(inDocument, [200, 202])
    else
      t.deepEqual(
        statuses.filter(status => status < 400 || inDocument.includes(status)),
        inDocument,
        `${method} ${path}`,
      )
  }
})

const fieldsOf = (name: string) =>
  Object.keys((document.components.schemas[name] as { properties: object }).properties).sort()

test('the fields of a query are those of the page', t => {
  const rows = tableUnder('Queries').filter(([first = '']) => first.startsWith('`') && !/^`[A-Z]/.test(first))
  const split = rows.findIndex(([first = '']) => first.startsWith('`handle`'))
  t.deepEqual(
    rows
      .slice(split)
      .flatMap(([first = '']) => codesIn(first))
      .sort(),
    fieldsOf('Query'),
  )

  const submission = document.paths['/api/v1/queries']?.post?.requestBody?.content['application/json']?.schema
  t.deepEqual(
    rows
      .slice(0, split)
      .flatMap(([first = '']) => codesIn(first))
      .sort(),
    Object.keys(submission.properties).sort(),
  )
  t.deepEqual(submission.required, ['sql'])
})

test('the statuses of a query are those of the machine', t => {
  const row = tableUnder('Queries').find(([first]) => first === '`status`')
  t.deepEqual(codesIn(row?.[1] ?? '').sort(), Object.keys(legalMoves).sort())
})

test('objects that the page writes out have the fields of their schemas', t => {
  const written = (text: string) =>
    text
      .split(/[,:\s[\]{}|]+/)
      .filter(word => /^[a-z]\w*$/i.test(word) && word !== 'null')
      .sort()
  const between = (start: string, end: string) => {
    const from = page.indexOf(start)
    t.true(from >= 0, start)
    return page.slice(from + start.length, page.indexOf(end, from))
  }
  t.deepEqual(written(between('A session: `{', '}`')), fieldsOf('Session'))
  t.deepEqual(written(between('{transitions: [{', '}]}`')), fieldsOf('Transition'))
  t.deepEqual(written(between('{failovers: [{', '}]}`')), fieldsOf('Failover'))
  t.deepEqual(written(between('{engines: [{', '}]}`')), fieldsOf('Engine'))
  t.deepEqual(written(between('201 `{', '}`')), fieldsOf('PreparedQuery'))
  t.deepEqual(
    written(between('`application/problem+json` (RFC 9457) with `', '`, and')),
    fieldsOf('Problem').filter(name => name !== 'handle'),
  )
})

test('the errors are those of the catalogue, with their statuses', t => {
  const onPage = tableUnder('Errors').map(([code = '', status = '']) => [codesIn(code)[0], Number(status)])
  const answered = Object.entries(errorCatalogue).filter(([, { status }]) => status !== null)
  t.deepEqual(
    onPage,
    answered.map(([code, { status }]) => [code, status]),
  )
  const [, unanswered = ''] = /Only in a failed query's `error`: ([^;]+);/.exec(page) ?? []
  t.deepEqual(
    codesIn(unanswered).sort(),
    Object.entries(errorCatalogue)
      .filter(([, { status }]) => status === null)
      .map(([code]) => code)
      .sort(),
  )
})

test('every operation has a name of its own, a summary, and its problems', t => {
  const operations = Object.values(document.paths).flatMap(path => Object.values(path))
  const names = operations.map(operation => operation.operationId)
  t.is(new Set(names).size, names.length)
  for (const operation of operations) {
    t.truthy((operation as { summary?: string }).summary, operation.operationId)
    t.truthy(operation.responses['4XX'], operation.operationId)
  }
})
