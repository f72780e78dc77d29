/** What a body may be, before any schema sees it. */
import test from 'ava'
import fc from 'fast-check'
import { jsonDepthMax } from '../../src/api/bounds.ts'
import { parseJsonBody } from '../../src/api/json-body.ts'
import { LensError } from '../../src/domain/index.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`

function refusal(body: Uint8Array): string {
  try {
    parseJsonBody(body)
  } catch (error) {
    if (error instanceof LensError && error.code === 'REQUEST_INVALID') return error.detail
    throw error
  }
  throw new Error('it was accepted')
}

test('whatever JSON can say is read as JSON.parse reads it', t => {
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.json({ maxDepth: 8 }), text => {
        fc.pre(!text.includes('__proto__') && !/\\ud[89a-f]/i.test(text))
        t.deepEqual(parseJsonBody(bytes(text)), JSON.parse(text))
      }),
    ),
  )
  t.is(parseJsonBody(new Uint8Array()), undefined)
})

test('any bytes give a value or REQUEST_INVALID', t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), body => {
      try {
        parseJsonBody(body)
      } catch (error) {
        t.true(error instanceof LensError && error.code === 'REQUEST_INVALID')
      }
    }),
  )
  t.pass()
})

test('broken UTF-8 is refused, not replaced', t => {
  t.is(refusal(Uint8Array.of(0x22, 0xc3, 0x28, 0x22)), 'body: expected UTF-8')
})

test('what is not JSON is refused with the place, without quoting it', t => {
  t.is(refusal(bytes('{"password": secret}')), 'body: expected JSON')
  t.is(refusal(bytes('{"a" 1}')), 'body: expected JSON; it breaks at position 5')
  t.is(refusal(bytes('{"a":')), 'body: expected JSON; it breaks at end of JSON input')
})

test('nesting is bounded', t => {
  t.notThrows(() => parseJsonBody(bytes(nested(jsonDepthMax))))
  t.regex(refusal(bytes(nested(jsonDepthMax + 1))), /levels of nesting/)
  t.regex(refusal(bytes(nested(500_000))), /levels of nesting/)
})

test('lone surrogates, infinite numbers and __proto__ are refused by name', t => {
  t.is(refusal(bytes('{"sql":"\\ud800"}')), 'body.sql: expected text without lone surrogates')
  t.is(refusal(bytes('{"\\udc00":1}')), 'body: expected names without lone surrogates')
  t.is(
    refusal(bytes('{"parameters":[1,1e999]}')),
    'body.parameters.1: expected a number within the range of double precision',
  )
  t.is(refusal(bytes('{"properties":{"__proto__":"x"}}')), 'body.properties: expected no field of the name __proto__')
})
