/** What a reader gets, fast or slow: order, merging, the limit. The socket is one that takes as much as the test says. */
import { setImmediate as tick } from 'node:timers/promises'
import test from 'ava'
import fc from 'fast-check'
import { messageCharactersMax, progressBytesMax } from '../../../src/api/bounds.ts'
import { Outbox } from '../../../src/api/stream/outbox.ts'

class Reader {
  readonly messages: string[] = []
  bufferedAmount = 0
  overflows = 0
  /** Whether what is sent stays in the buffer. */
  readonly stalled: boolean
  constructor(stalled = false) {
    this.stalled = stalled
  }
  send(text: string): void {
    this.messages.push(text)
    if (this.stalled) this.bufferedAmount += text.length
  }
  outbox(bytesMax = 1000): Outbox {
    return new Outbox(this, bytesMax, () => this.overflows++)
  }
}
const frame = (n: number) => JSON.stringify({ n })
const framesOf = (reader: Reader) => reader.messages.flatMap(text => [JSON.parse(text)].flat())

test('one frame travels as an object, several of a tick as one array', async t => {
  const reader = new Reader()
  const outbox = reader.outbox()
  outbox.push(frame(1))
  await tick()
  outbox.push(frame(2))
  outbox.push(frame(3))
  await tick()
  t.deepEqual(reader.messages, ['{"n":1}', '[{"n":2},{"n":3}]'])
})

test('every frame arrives once and in order, however they are spread over ticks and messages', async t => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.nat(messageCharactersMax)), { maxLength: 6 }),
      async bursts => {
        const reader = new Reader()
        const outbox = reader.outbox(Number.POSITIVE_INFINITY)
        let sent = 0
        for (const [count, size] of bursts) {
          for (let i = 0; i < count; i++) outbox.push(JSON.stringify({ n: sent++, padding: 'x'.repeat(size) }))
          await tick()
        }
        t.deepEqual(
          framesOf(reader).map(each => each.n),
          Array.from({ length: sent }, (_, n) => n),
        )
        for (const text of reader.messages) if (text.startsWith('[')) t.true(text.length <= messageCharactersMax + 100)
      },
    ),
    { numRuns: 30 },
  )
})

test('progress is merged while it waits, query frames are not', async t => {
  const reader = new Reader()
  const outbox = reader.outbox()
  outbox.pushProgress('a', '{"p":1}')
  outbox.push(frame(1))
  outbox.pushProgress('a', '{"p":2}')
  outbox.pushProgress('b', '{"p":3}')
  outbox.push(frame(2))
  await tick()
  t.deepEqual(framesOf(reader), [{ n: 1 }, { n: 2 }, { p: 2 }, { p: 3 }])
})

test('progress is dropped while the reader is behind, query frames are not', async t => {
  const reader = new Reader()
  const outbox = reader.outbox(10 * progressBytesMax)
  reader.bufferedAmount = progressBytesMax + 1
  t.false(outbox.pushProgress('a', '{"p":1}'))
  outbox.push(frame(1))
  await tick()
  t.deepEqual(framesOf(reader), [{ n: 1 }])
  t.is(reader.overflows, 0)
})

test('a reader that takes nothing overflows once, and is sent nothing more', async t => {
  const reader = new Reader(true)
  const outbox = reader.outbox(100)
  for (let n = 0; n < 50; n++) {
    outbox.push(frame(n))
    await tick()
  }
  t.is(reader.overflows, 1)
  t.true(reader.bufferedAmount <= 100, `${reader.bufferedAmount} bytes are buffered`)
  // What was sent is the beginning, without a hole: the reader resumes after it.
  t.deepEqual(
    framesOf(reader).map(each => each.n),
    reader.messages.map((_, n) => n),
  )
})

test('a burst onto an empty socket may exceed the limit', async t => {
  const reader = new Reader(true)
  const outbox = reader.outbox(100)
  for (let n = 0; n < 50; n++) outbox.push(frame(n))
  await tick()
  t.is(framesOf(reader).length, 50)
  t.is(reader.overflows, 0)
  outbox.push(frame(50))
  t.is(reader.overflows, 1)
})
