/**
 * Bodies of the Lens protocol: the parts of each call with values that are nearly right (a handle as XML or JSON, a configuration, an
 * operation, a number), written as multipart bodies that are nearly right, too.
 */
import fc from 'fast-check'
import { openLens } from '../support/lens-protocol.ts'
import { faultsOfLens } from './lens-answers.ts'
import { exchange, type Hostile, revelations } from './requests.ts'
import { bodyBytesMax, type Target } from './target.ts'

/** With the names of what each reads from its body. */
const calls: readonly (readonly [string, string, readonly string[]])[] = [
  ['POST', '/session', ['username', 'password', 'database', 'sessionconf']],
  ['PUT', '/session/params', ['sessionid', 'key', 'value']],
  ['PUT', '/session/resources/add', ['sessionid', 'type', 'path']],
  ['PUT', '/session/resources/delete', ['sessionid', 'type', 'path']],
  ['POST', '/queryapi/queries', ['sessionid', 'query', 'operation', 'conf', 'queryName', 'timeoutmillis']],
  ['PUT', '/queryapi/queries/{handle}', ['sessionid', 'conf']],
  ['POST', '/queryapi/preparedqueries', ['sessionid', 'query', 'operation', 'conf', 'queryName']],
  ['PUT', '/queryapi/preparedqueries/{handle}', ['sessionid', 'conf']],
  ['POST', '/queryapi/preparedqueries/{handle}', ['sessionid', 'operation', 'conf', 'queryName', 'timeoutmillis']],
]

const deep = (open: string, shut: string, levels = 4_000) => `${open.repeat(levels)}${shut.repeat(levels)}`
const laughs = `<!DOCTYPE conf [<!ENTITY a "aaaaaaaaaa">${['b', 'c', 'd', 'e', 'f', 'g']
  .map((name, index) => `<!ENTITY ${name} "${`&${'abcdef'[index]};`.repeat(10)}">`)
  .join('')}]><conf><properties><entry><key>a</key><value>&g;</value></entry></properties></conf>`
const strange = fc.constantFrom(
  '',
  ' ',
  '\0',
  '\u202e',
  '\ud7ff\uffff',
  '🦆',
  '__proto__',
  '-1',
  '1e9',
  'x'.repeat(3_000),
)
const broken = fc.constantFrom(
  ...[
    '<',
    '<a',
    '<a>',
    '</a>',
    '<a/><b/>',
    '<a></b>',
    '<a b=c/>',
    '<a>&unknown;</a>',
    '<a>&#0;</a>',
    '<a>]]></a>',
    laughs,
  ],
  ...['{', '[]', 'null', '{"conf":null}', '{"conf":[]}', '{"conf":{"properties":7}}', '{"lensSessionHandle":"x"}'],
  ...[
    '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    '<?xml version="9"?><a/>',
    '<?x',
    '<!--',
    '<![CDATA[',
    '\ufeff<a/>',
  ],
  ...[deep('<a>', '</a>'), deep('{"a":', '}'), deep('[', ']'), `<a ${'b'.repeat(20_000)}="c"/>`],
  `<a ${Array.from({ length: 2_000 }, (_, index) => `a${index}="b"`).join(' ')}/>`,
)

function handle(publicId: string, secretId: string): fc.Arbitrary<string> {
  const inner = `<publicId>${publicId}</publicId><secretId>${secretId}</secretId>`
  return fc.constantFrom(
    `<lensSessionHandle>${inner}</lensSessionHandle>`,
    `<?xml version="1.0" encoding="UTF-16"?><lensSessionHandle>${inner}</lensSessionHandle>`,
    `<lensSessionHandle xmlns="urn:x">${inner}${inner}</lensSessionHandle>`,
    `<lensSessionHandle><publicId><![CDATA[${publicId}]]></publicId><secretId>${secretId}</secretId></lensSessionHandle>`,
    `<a><lensSessionHandle>${inner}</lensSessionHandle></a>`,
    `<lensSessionHandle>${inner}`,
    JSON.stringify({ lensSessionHandle: { publicId, secretId } }),
    JSON.stringify({ lensSessionHandle: { publicId: [publicId], secretId: { toString: 'x' } } }),
    `{"lensSessionHandle":{"publicId":"${publicId}","secretId":"${secretId}","__proto__":{"a":1}}}`,
  )
}

function configuration(): fc.Arbitrary<string> {
  const name = fc.oneof(fc.constantFrom('colour', 'lens.query.cancel.on.timeout', 'a b', 'ä'), strange)
  const entry = fc.record({ key: name, value: fc.oneof(fc.constantFrom('red', 'false', '&amp;', '<b/>'), strange) })
  const entries = fc.oneof(
    fc.array(entry, { maxLength: 4 }),
    fc.constant(Array.from({ length: 300 }, (_, index) => ({ key: `k${index}`, value: '' }))),
  )
  const asXml = entries.map(
    list =>
      `<conf><properties>${list.map(({ key, value }) => `<entry><key>${key}</key><value>${value}</value></entry>`).join('')}</properties></conf>`,
  )
  const asJson = fc
    .oneof(entries, fc.jsonValue({ maxDepth: 4 }))
    .map(entry => JSON.stringify({ conf: { properties: { entry } } }))
  return fc.oneof(asXml, asJson, broken)
}

function partOf(
  name: string,
  sessions: readonly fc.Arbitrary<string>[],
  rightSession: string,
): fc.Arbitrary<string | null> {
  // Most go on to the rest of the call.
  if (name === 'sessionid')
    return fc.oneof(
      { weight: 6, arbitrary: fc.constant(rightSession) },
      ...sessions,
      broken,
      strange,
      fc.constant(null),
    )
  const near: Readonly<Record<string, fc.Arbitrary<string>>> = {
    operation: fc.constantFrom(
      'execute',
      'EXECUTE_WITH_TIMEOUT',
      'explain',
      'estimate',
      'prepare',
      'explain_and_prepare',
      'drop',
    ),
    query: fc.constantFrom(
      'select 1',
      'select 1; select 2',
      'cube select x',
      'nonsense',
      `select '${'é'.repeat(24_990)}'`,
      '--',
    ),
    timeoutmillis: fc.constantFrom('0', '1', '200', '-1', '99999999999999999999', '1e3', ' 5 '),
    type: fc.constantFrom('jar', 'file', 'archive', 'unknown'),
    path: fc.constantFrom('/tmp/a.jar', 'hdfs://a', '../../etc/passwd', 'a b'),
    username: fc.constantFrom('ann', 'ann\n', ' ann'),
    database: fc.constantFrom('default', 'none', 'a;b'),
  }
  const right = /conf$/.test(name) ? configuration() : (near[name] ?? strange)
  return fc.oneof(
    { weight: 8, arbitrary: right },
    { weight: 1, arbitrary: broken },
    { weight: 1, arbitrary: strange },
    fc.constant(null),
  )
}

interface Part {
  readonly name: string
  readonly value: string
  readonly head: string
}

/** How a part may call itself; `NAME` is its name. */
const heads = [
  'content-disposition: form-data; name="NAME"',
  'content-disposition: form-data; name="NAME"; filename="a"',
  'content-type: application/xml\r\nContent-Disposition: form-data; name="NAME"',
  'content-type: application/json; charset=utf-16\r\ncontent-disposition: form-data; name="NAME"',
  'content-disposition: form-data; name=NAME\r\ncontent-transfer-encoding: base64',
  'content-disposition: form-data; name="NAME"\r\ncontent-type: multipart/mixed; boundary=b',
  'content-disposition: form-data',
  'content-disposition: attachment; name="NAME"',
  "content-disposition: form-data; name*=utf-8''NAME",
  'content-disposition: form-data;\r\n name="NAME"',
  `content-disposition: form-data; name="NAME"\r\nx: ${'y'.repeat(20_000)}`,
  `content-disposition: form-data; name="NAME"${'\r\nx: y'.repeat(200)}`,
  'no header at all',
  '',
] as const

type Frame = (parts: readonly Part[]) => Buffer
const written = ({ name, value, head }: Part, end = '\r\n') =>
  `${head.replaceAll('NAME', name)}${end}${end}${value}${end}`
const whole: Frame = parts => Buffer.from(`${parts.map(part => `--b\r\n${written(part)}`).join('')}--b--\r\n`)
const frames: readonly Frame[] = [
  parts => Buffer.concat([Buffer.from('preamble\r\n'), whole(parts), Buffer.from('epilogue')]),
  parts => whole([...parts, ...parts]),
  parts =>
    whole(Array.from({ length: 40 }, (_, index) => parts[index % parts.length]).filter(part => part !== undefined)),
  parts => whole(parts).subarray(0, -5),
  parts => whole(parts).subarray(0, whole(parts).length >> 1),
  parts => Buffer.from(whole(parts).toString().replaceAll('\r\n', '\n')),
  parts => Buffer.from(whole(parts).toString().replaceAll('--b', '--c')),
  parts => Buffer.from(whole(parts).toString(), 'utf16le'),
  parts => Buffer.from(whole(parts).toString(), 'latin1'),
  parts => Buffer.from(JSON.stringify(Object.fromEntries(parts.map(({ name, value }) => [name, value])))),
  parts => Buffer.from(new URLSearchParams(parts.map(({ name, value }) => [name, value])).toString()),
  () => Buffer.from('--b--\r\n'),
  () => Buffer.from('--b'.repeat(20_000)),
  () => Buffer.from('--b\r\n\r\n'.repeat(10_000)),
]
const types = [
  'multipart/form-data; boundary="b"',
  'multipart/form-data; boundary=b; boundary=c',
  'multipart/form-data; boundary=',
  'multipart/form-data',
  `multipart/form-data; boundary=${'b'.repeat(5_000)}`,
  'multipart/mixed; boundary=b',
  'MULTIPART/FORM-DATA; BOUNDARY=b',
  'application/xml',
  'application/json',
  'application/x-www-form-urlencoded',
]

function bodyOf(
  names: readonly string[],
  sessions: readonly fc.Arbitrary<string>[],
  session: string,
): fc.Arbitrary<{ type: string; body: Buffer }> {
  const part = (name: string) =>
    fc
      .record({
        value: partOf(name, sessions, session),
        head: fc.oneof({ weight: 12, arbitrary: fc.constant(heads[0]) }, fc.constantFrom(...heads)),
      })
      .map(({ value, head }): Part | null => (value === null ? null : { name, value, head }))
  return fc
    .record({
      parts: fc.tuple(...names.map(part)),
      frame: fc.oneof({ weight: 5, arbitrary: fc.constant(whole) }, fc.constantFrom(...frames)),
      type: fc.oneof(
        { weight: 8, arbitrary: fc.constant('multipart/form-data; boundary=b') },
        fc.constantFrom(...types),
      ),
    })
    .map(({ parts, frame, type }) => ({ type, body: frame(parts.filter(each => each !== null)) }))
}

/** So many bodies for every call that takes one. Rejects with the first that is answered wrongly, and its seed. */
export async function fuzzLensBodies(target: Target, seed: number, runsPerCall: number): Promise<number> {
  const { node, others } = target
  for (const [method, path, names] of calls) {
    const opened = await openLens(node, 'ann')
    const [, publicId = '', secretId = ''] = /<publicId>(.*)<\/publicId><secretId>(.*)<\/secretId>/.exec(opened) ?? []
    const sessions = [handle(publicId, secretId), handle(others.session, secretId), handle(publicId, others.query)]
    const hostile: fc.Arbitrary<Hostile> = fc
      .record({
        at: fc.constantFrom(others.query, others.prepared, publicId, 'x'),
        accept: fc.constantFrom('application/xml', 'application/json', '*/*'),
        sent: bodyOf(names, sessions, opened),
      })
      .map(({ at, accept, sent }) => ({
        method,
        target: `/lensapi${path.replace('{handle}', at)}`,
        headers: { accept, 'content-type': sent.type },
        body: sent.body,
      }))
    await fc.assert(
      fc.asyncProperty(hostile, async sent => {
        const answered = await exchange(node.url, sent)
        const faults = [...faultsOfLens(answered), ...revelations(answered.text)]
        if ((sent.body?.length ?? 0) > bodyBytesMax !== (answered.status === 413 && /bodyBytesMax/.test(answered.text)))
          faults.push('its size is not what is judged')
        if (faults.length > 0)
          throw new Error(`${faults.join('; ')}: ${answered.status} ${answered.type} ${answered.text.slice(0, 1000)}`)
      }),
      { seed, numRuns: runsPerCall, endOnFailure: true },
    )
  }
  return calls.length * runsPerCall
}
