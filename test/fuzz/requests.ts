/**
 * Every operation of the OpenAPI document, and every call of the Lens protocol, with all that a request can have wrong: path,
 * query, headers, who asks, the body's bytes, type, size, nesting and encoding. What an answer has to be is the same for all.
 */
import { request as httpRequest } from 'node:http'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { errorCatalogue } from '../../src/domain/index.ts'
import { faultsOfAnswer, type OpenApi } from '../support/openapi.ts'
import { bodyBytesMax, clusterSecret, hungMs, mark, type Target } from './target.ts'

export interface Operation {
  readonly method: string
  readonly path: string
  readonly fields: readonly string[]
  readonly isLens: boolean
}

export interface Hostile {
  readonly method: string
  /** As written in the request line. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | null
}

/** Not in the OpenAPI document: their clients have a description of their own. */
const lensCalls = [
  ...['GET', 'POST', 'DELETE'].map(method => `${method} /lensapi/session`),
  ...['GET', 'PUT'].map(method => `${method} /lensapi/session/params`),
  ...['add', 'delete'].map(action => `PUT /lensapi/session/resources/${action}`),
  'GET /lensapi/session/resources/list',
  ...['GET', 'DELETE'].map(method => `${method} /lensapi/session/sessions`),
  'GET /lensapi/session/sessionsperuser',
  ...['GET', 'POST', 'DELETE'].map(method => `${method} /lensapi/queryapi/queries`),
  'GET /lensapi/queryapi/queries/detail',
  ...['GET', 'PUT', 'DELETE'].map(method => `${method} /lensapi/queryapi/queries/{handle}`),
  'GET /lensapi/queryapi/queries/{handle}/resultsetmetadata',
  ...['GET', 'DELETE'].map(method => `${method} /lensapi/queryapi/queries/{handle}/resultset`),
  'GET /lensapi/queryapi/queries/{handle}/httpresultset',
  ...['GET', 'POST', 'DELETE'].map(method => `${method} /lensapi/queryapi/preparedqueries`),
  ...['GET', 'PUT', 'POST', 'DELETE'].map(method => `${method} /lensapi/queryapi/preparedqueries/{handle}`),
]

const texts = [
  '',
  ' ',
  '\0',
  "' or '1'='1",
  "'; drop table session; -- ",
  '" ; delete from current_query; #',
  '`',
  '\\',
  '%',
  '\u0024{jndi:ldap://127.0.0.1/x}',
  '{{7*7}}',
  '../../../../etc/passwd',
  '..\\..\\windows\\win.ini',
  'file:///etc/passwd',
  '\r\nset-cookie: a=b',
  '\u202e\u0000\uffff',
  '🦆'.repeat(50),
  'x'.repeat(5_000),
  '__proto__',
  'constructor',
  'toString',
  '-1',
  '1e999',
  '99999999999999999999',
  'NaN',
  'null',
  '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
] as const
/** As they are, in the request line. */
const segments = [
  '..',
  '%2e%2e',
  '%2e%2e%2f%2e%2e%2fetc%2fpasswd',
  '..%5c..%5c',
  '%00',
  '%ff',
  '%',
  '%zz',
  '%c0%ae',
  ';a=b',
  '*',
  '%0d%0aset-cookie:%20a=b',
  'x'.repeat(300),
  'x'.repeat(9_000),
  "'%20or%201=1",
  '00000000-0000-0000-0000-000000000000',
  '__proto__',
] as const
const queries = [
  'limit=1&limit=2',
  '__proto__=1',
  'a[b]=c&a[__proto__][x]=1',
  'status=%ff',
  'cursor=AAAA',
  `cursor=${'A'.repeat(4000)}`,
  'offset=-1&limit=99999999999',
  'waitMs=1e9&after=-1',
  'name=%27;drop%20table%20session;--',
  'from=0000-00-00&to=9999-99-99',
  '%=%&&&=&',
  'sessionid=%3Cxml%3E&state=NOPE&user=%00',
] as const

const bomb = gzipSync(Buffer.alloc(50_000_000))
const contentTypes = [
  'application/json',
  'application/json; charset=utf-16',
  'application/json;;;',
  'text/plain',
  'application/xml',
  'multipart/form-data',
  'multipart/form-data; boundary=b',
  'application/x-www-form-urlencoded',
  `application/${'x'.repeat(2_000)}`,
  '*/*',
] as const

const form = (name: string, value: string | Buffer, tail = '--b--\r\n') =>
  Buffer.concat([
    Buffer.from(`--b\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n`),
    Buffer.from(value),
    Buffer.from(`\r\n${tail}`),
  ])

function bodyFor(fields: readonly string[]): fc.Arbitrary<Buffer | null> {
  const field = fc.constantFrom(...(fields.length > 0 ? fields : ['sql']), '__proto__', 'constructor', 'unknown')
  const value = fc.oneof(
    fc.constantFrom(...texts),
    fc.jsonValue({ maxDepth: 4 }),
    fc.constantFrom(null, true, -1, 1e308),
  )
  const json = fc.dictionary(field, value, { maxKeys: 5 }).map(body => Buffer.from(JSON.stringify(body)))
  const broken = fc.constantFrom<Buffer | null>(
    null,
    Buffer.from(''),
    Buffer.from('{'),
    Buffer.from('{"sql":"select 1"'),
    Buffer.from('\ufeff{}'),
    Buffer.from('[[[[]]]]'),
    Buffer.from('"sql"'),
    Buffer.from('{"sql":"\\ud800"}'),
    Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
    Buffer.from(`${'['.repeat(40_000)}${']'.repeat(40_000)}`),
    Buffer.from(`${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`),
    Buffer.from(`{"sql":"${'x'.repeat(bodyBytesMax)}"}`),
    Buffer.alloc(bodyBytesMax * 3, 0x20),
    bomb.subarray(0, 40_000),
  )
  const forms = fc
    .tuple(
      fc.constantFrom('sessionid', 'query', 'operation', 'conf', 'username', 'password', 'key', 'value', '__proto__'),
      fc.constantFrom<string | Buffer>(...texts, Buffer.from([0xff, 0xfe, 0x00]), '<conf>'.repeat(5_000), '&a;&b;'),
      fc.constantFrom('--b--\r\n', '', '--b', '\r\n\r\n'),
    )
    .map(([name, value, tail]) => form(name, value, tail))
  return fc.oneof({ weight: 3, arbitrary: json }, { weight: 2, arbitrary: broken }, { weight: 1, arbitrary: forms })
}

function hostile(target: Target, operation: Operation): fc.Arbitrary<Hostile> {
  const { others, token } = target
  const [id = ''] = token.split('.')
  const segment = fc.constantFrom(...segments, ...Object.values(others), ...texts.slice(0, 12).map(encodeURIComponent))
  const forged = [
    '',
    'x',
    `${id}.`,
    `${id}.wrong`,
    `${others.session}.${token.split('.')[1]}`,
    `.${token}`,
    `${token}x`,
  ]
  const credentials = fc.oneof(
    { weight: 4, arbitrary: fc.constant(`Bearer ${token}`) },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        ...forged.map(text => `Bearer ${text}`),
        'Basic YW5uOmFubg==',
        'Basic %%%',
        'Bearer',
        token,
        `Bearer ${'x'.repeat(8_000)}`,
        'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.',
      ),
    },
  )
  const extra = fc.constantFrom<Readonly<Record<string, string>>>(
    {},
    { 'content-encoding': 'gzip' },
    { 'content-encoding': 'br, gzip, deflate' },
    { accept: ';;;q=9' },
    { accept: 'application/xml' },
    { 'idempotency-key': 'x'.repeat(5_000) },
    { 'idempotency-key': "'; drop table submission_key; --" },
    { 'x-request-id': '../../\u00ff' },
    { 'x-forwarded-for': '127.0.0.1, unknown, ::::' },
    { 'x-http-method-override': 'DELETE' },
    { 'transfer-encoding': 'chunked' },
    { expect: '100-continue' },
    { range: 'bytes=0-1,5-2,-9' },
    { origin: 'https://elsewhere.example' },
    { host: 'evil.example:0' },
    { upgrade: 'h2c', connection: 'upgrade' },
    { cookie: 'a'.repeat(8_000) },
    Object.fromEntries(Array.from({ length: 90 }, (_, index) => [`x-${index}`, 'y'])),
  )
  return fc
    .record({
      segments: fc.array(segment, { minLength: 2, maxLength: 2 }),
      query: fc.option(fc.constantFrom(...queries), { nil: '' }),
      credentials,
      extra,
      type: fc.option(fc.constantFrom(...contentTypes), { nil: undefined, freq: 6 }),
      isTyped: fc.boolean(),
      body: bodyFor(operation.fields),
    })
    .map(({ segments, query, credentials, extra, type, isTyped, body }) => {
      let index = 0
      const path = operation.path.replaceAll(/\{\w+\}/g, () => segments[index++ % 2] as string)
      const rightType = operation.isLens ? 'multipart/form-data; boundary=b' : 'application/json'
      const sent = operation.method === 'GET' ? null : body
      const contentType = isTyped ? rightType : type
      return {
        method: operation.method,
        target: query ? `${path}?${query}` : path,
        headers: {
          authorization: credentials,
          ...(sent && contentType ? { 'content-type': contentType } : {}),
          ...extra,
        },
        body: sent,
      }
    })
}

export interface Answered {
  readonly status: number
  readonly type: string
  readonly text: string
}

/** Rejects when there is no answer in time; an answer that came before the server closed counts. */
export function exchange(url: string, { method, target, headers, body }: Hostile): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const outgoing = httpRequest({ hostname, port, method, path: target, headers, agent: false }, answer => {
      const chunks: Buffer[] = []
      answer.on('data', chunk => chunks.push(chunk))
      answer.on('error', reject)
      answer.on('end', () => {
        clearTimeout(late)
        resolve({
          status: answer.statusCode ?? 0,
          type: answer.headers['content-type'] ?? '',
          text: Buffer.concat(chunks).toString(),
        })
        outgoing.destroy()
      })
    })
    const late = setTimeout(() => {
      reject(new Error(`no answer in ${hungMs} ms`))
      outgoing.destroy()
    }, hungMs)
    outgoing.on('error', error => {
      clearTimeout(late)
      reject(error)
    })
    outgoing.end(body ?? undefined)
  })
}

/** What no answer may say. */
export function revelations(text: string): string[] {
  const faults: string[] = []
  if (text.includes(clusterSecret) || text.includes(mark)) faults.push('says what is not for this client')
  if (/\n\s+at .*:\d+|node_modules|node:internal/.test(text)) faults.push('shows the inside')
  return faults
}

/** A refusal has to be a problem of the catalogue. */
export function faultsOfRefusal({ status, type, text }: Answered): string[] {
  if (status < 400) return []
  let problem: { code?: string; status?: number } = {}
  try {
    problem = JSON.parse(text)
  } catch {
    return ['a refusal that is no JSON']
  }
  const faults: string[] = []
  const entry = errorCatalogue[problem.code as keyof typeof errorCatalogue]
  if (!entry || entry.status !== status || problem.status !== status) faults.push('not of the catalogue')
  if (!type.startsWith('application/problem+json')) faults.push(`a problem as ${type}`)
  return faults
}

/** What is wrong with an answer; empty when nothing is. */
function faultsOf(document: OpenApi, operation: Operation, sent: Hostile, answered: Answered): string[] {
  const { status, type, text } = answered
  const faults: string[] = []
  if (status < 200 || status >= 500) faults.push('neither a success nor a 4xx')
  faults.push(...revelations(text))
  if (operation.isLens) return faults
  faults.push(...faultsOfRefusal(answered))
  // What a path with other slashes leads to is another operation, or none.
  if (isRouted(operation, sent.target) && !(status === 404 && text.includes('under this path')) && status !== 413)
    faults.push(
      ...faultsOfAnswer(
        document,
        operation.method,
        operation.path,
        status,
        type,
        /json/.test(type) ? JSON.parse(text) : text,
      ),
    )
  return faults
}

const isRouted = ({ path }: Operation, target: string) =>
  new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[\\w-]{1,200}')}(\\?|$)`).test(target)

export async function operationsOf(target: Target): Promise<{ document: OpenApi; operations: Operation[] }> {
  const document = (await target.node.call<OpenApi>('GET', '/openapi.json')).body
  const native = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { requestBody }]) => ({
      method: method.toUpperCase(),
      path,
      fields: Object.keys(requestBody?.content['application/json']?.schema.properties ?? {}),
      isLens: false,
    })),
  )
  const lens = lensCalls.map(call => {
    const [method = '', path = ''] = call.split(' ')
    return { method, path, fields: [], isLens: true }
  })
  return { document, operations: [...native.filter(({ method }) => method !== 'HEAD'), ...lens] }
}

/** So many requests of every operation. Rejects with the first that is answered wrongly, made small, and its seed. */
export async function fuzzRequests(target: Target, seed: number, runsPerOperation: number): Promise<number> {
  const { document, operations } = await operationsOf(target)
  for (const operation of operations) {
    await target.renew()
    await fc.assert(
      fc.asyncProperty(hostile(target, operation), async sent => {
        const answered = await exchange(target.node.url, sent)
        const faults = faultsOf(document, operation, sent, answered)
        if (faults.length > 0)
          throw new Error(`${faults.join('; ')}: ${answered.status} ${answered.type} ${answered.text.slice(0, 1000)}`)
      }),
      { seed, numRuns: runsPerOperation, endOnFailure: false },
    )
  }
  return operations.length * runsPerOperation
}
