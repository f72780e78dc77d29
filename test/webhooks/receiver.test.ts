/** What a receiver’s answer means, and how long it may ask to be left alone. */
import type { ServerResponse } from 'node:http'
import test from 'ava'
import { systemClock } from '../../src/async/index.ts'
import { send } from '../../src/webhooks/receiver.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'

const body = JSON.stringify({ data: { user: 'alice' } })
const nowMs = Date.UTC(2026, 0, 1)

async function answered(
  answering: (response: ServerResponse) => void,
  timeoutMs = 30_000,
  signal = new AbortController().signal,
) {
  const receiver = await WebhookReceiver.start()
  try {
    receiver.answer('alice', answering)
    const to = { url: receiver.url, secrets: ['a secret'], headers: {}, timeoutMs }
    return await send(to, { id: 'id', body }, { ...systemClock, now: () => nowMs }, signal)
  } finally {
    await receiver.close()
  }
}

for (const [status, retryAfter, expected] of [
  [200, '5', { kind: 'delivered' }],
  [299, undefined, { kind: 'delivered' }],
  [410, undefined, { kind: 'dead', error: 'HTTP 410' }],
  [404, undefined, { kind: 'failed', error: 'HTTP 404', retryAfterMs: 0 }],
  [307, undefined, { kind: 'failed', error: 'HTTP 307: redirects are not followed', retryAfterMs: 0 }],
  [503, '7', { kind: 'failed', error: 'HTTP 503', retryAfterMs: 7_000 }],
  [503, 'Thu, 01 Jan 2026 00:01:00 GMT', { kind: 'failed', error: 'HTTP 503', retryAfterMs: 60_000 }],
  [503, 'Thu, 01 Jan 2025 00:00:00 GMT', { kind: 'failed', error: 'HTTP 503', retryAfterMs: 0 }],
  [503, '999999999', { kind: 'failed', error: 'HTTP 503', retryAfterMs: 3_600_000 }],
  [503, 'soon', { kind: 'failed', error: 'HTTP 503', retryAfterMs: 0 }],
] as const)
  test(`${status}, Retry-After ${retryAfter}`, async t => {
    const headers = { location: '/elsewhere', ...(retryAfter ? { 'retry-after': retryAfter } : {}) }
    t.deepEqual(await answered(response => void response.writeHead(status, headers).end()), expected)
  })

test('an answer without end is not waited for', async t => {
  const answer = answered(response => {
    response.writeHead(200)
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(65_536)));
    }
    response.on('drain', more)
    more()
  })
  t.deepEqual(await answer, { kind: 'delivered' })
})

test('no answer, no connection, and an end of the term are failures with a reason', async t => {
  const silent = () => undefined
  t.deepEqual(await answered(silent, 20), { kind: 'failed', error: 'no answer within 20 ms', retryAfterMs: 0 })
  t.like(await answered(response => void response.destroy()), { kind: 'failed', error: 'UND_ERR_SOCKET' })
  const nobody = await WebhookReceiver.start()
  const { url } = nobody
  await nobody.close()
  const to = { url, secrets: ['a secret'], headers: {}, timeoutMs: 30_000 }
  t.like(await send(to, { id: 'id', body }, systemClock, new AbortController().signal), { error: 'ECONNREFUSED' })
  t.like(await answered(silent, 30_000, AbortSignal.abort(new Error('leads no more'))), { error: 'leads no more' })
})
