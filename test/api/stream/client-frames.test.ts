/** Frames of clients: the four types of the contract, and clear words for all else. */
import test from 'ava'
import fc from 'fast-check'
import { checkFrame, idOf } from '../../../src/api/stream/client-frames.ts'
import { LensError } from '../../../src/domain/index.ts'

const handle = '0193a1b2-aaaa-7bbb-8ccc-0123456789ab'

for (const frame of [
  { type: 'authenticate', token: 'a.b' },
  { type: 'subscribe', id: '1', topic: 'query', handle },
  { type: 'subscribe', id: '1', topic: 'query', handle, after: 0 },
  { type: 'subscribe', id: '1', topic: 'session' },
  { type: 'subscribe', id: '1', topic: 'session', after: { [handle]: 3 } },
  { type: 'subscribe', id: '1', topic: 'cluster' },
  { type: 'subscribe', id: '1', topic: 'machines' },
  { type: 'unsubscribe', id: '1' },
  { type: 'ping' },
])
  test(`${JSON.stringify(frame)} is accepted`, t => t.deepEqual(checkFrame(frame) as unknown, frame))

const refusals: readonly (readonly [unknown, RegExp])[] = [
  [null, /^frame: expected an object$/],
  ['ping', /^frame: expected an object$/],
  [[{ type: 'ping' }], /^frame: expected an object$/],
  [{}, /^frame\.type: expected one of subscribe, authenticate, unsubscribe, ping$/],
  [{ type: 'constructor' }, /^frame\.type: expected one of/],
  [{ type: ['ping'] }, /^frame\.type: expected one of/],
  [{ type: 'ping', extra: 1 }, /^frame\.extra: unknown field/],
  [{ type: 'authenticate' }, /^frame\.token: required, but missing$/],
  [{ type: 'authenticate', token: 7 }, /^frame\.token: expected a string$/],
  [{ type: 'subscribe', id: '1' }, /^frame\.topic: expected one of query, session, cluster, machines$/],
  [{ type: 'subscribe', id: '1', topic: 'toString' }, /^frame\.topic: expected one of/],
  [{ type: 'subscribe', topic: 'query' }, /frame\.id: required.*frame\.handle: required/],
  [{ type: 'subscribe', id: '', topic: 'cluster' }, /^frame\.id: expected at least 1 characters$/],
  [{ type: 'subscribe', id: 'x'.repeat(129), topic: 'cluster' }, /^frame\.id: expected at the most 128 characters$/],
  [{ type: 'subscribe', id: '1', topic: 'query', handle: '../etc' }, /^frame\.handle: expected/],
  [{ type: 'subscribe', id: '1', topic: 'query', handle, after: '1' }, /^frame\.after: expected an integer$/],
  [{ type: 'subscribe', id: '1', topic: 'query', handle, after: -1 }, /^frame\.after: expected a number >= 0$/],
  [{ type: 'subscribe', id: '1', topic: 'session', after: { x: 1 } }, /^frame\.after\.x: unknown field/],
]
for (const [frame, expected] of refusals)
  test(`${JSON.stringify(frame)} is refused with what was expected`, t => {
    const error = t.throws(() => checkFrame(frame), { instanceOf: LensError })
    t.is(error.code, 'REQUEST_INVALID')
    t.regex(error.detail, expected)
  })

test('any JSON is a frame or REQUEST_INVALID', t => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom('subscribe', 'authenticate', 'ping', 'query', 'x'), (value, word) => {
      for (const frame of [
        value,
        { ...(value as object), type: word },
        { type: 'subscribe', topic: word, id: value },
      ]) {
        idOf(frame)
        try {
          checkFrame(frame)
        } catch (error) {
          t.true(error instanceof LensError && error.code === 'REQUEST_INVALID' && error.detail.length > 0)
        }
      }
    }),
  )
  t.pass()
})
