/** The peer bus: strangers, and peers that know the secret but speak nonsense. What is believed of them are hints at the most. */
import fc from 'fast-check'
import { WebSocket } from 'ws'
import { systemClock, systemRandom } from '../../src/async/index.ts'
import { busPath, identityPath } from '../../src/cluster/index.ts'
import { PeerAuth } from '../../src/cluster/peer-auth.ts'
import { StreamClient } from '../support/wire.ts'
import { brokenBytes, closed, upgraded } from './frames.ts'
import { clusterSecret, hungMs, type Target } from './target.ts'

const types = [
  ...['hello', 'interest', 'frames', 'progress', 'look', 'cluster-changed', 'cancel', 'session-closed', 'ownership'],
  ...['suspected', 'store', 'goodbye', 'log-level', 'log-level-is', 'of a version to come'],
]
const text = fc.constantFrom('', 'x', '\0', "' or 1=1 --", '__proto__', 'x'.repeat(3_000))
const strange = fc.oneof(fc.jsonValue({ maxDepth: 3 }), text)

function messageFor({ others }: Target): fc.Arbitrary<unknown> {
  // The other user's query is finished: what is said about it here changes nothing of it.
  const handle = fc.oneof(fc.constant(others.query), text)
  const view = fc.oneof(
    fc.constant({}),
    fc.dictionary(fc.constantFrom('handle', 'status', 'version', 'user', 'progress', 'owner', 'result'), strange),
  )
  const frame = fc.record({
    handle,
    sessionId: fc.oneof(fc.constant(others.session), text),
    user: fc.constantFrom('bob', 'ann', ''),
    version: fc.integer(),
    epoch: fc.integer(),
    query: view,
    progress: view,
  })
  const interest = fc.record({ kind: fc.constantFrom('query', 'session', 'else'), id: text })
  const change = fc.record({
    ...{ kind: fc.constantFrom('takeover', 'hand-over', 'else'), from: text, to: text },
    ...{ count: fc.integer(), handles: fc.array(handle, { maxLength: 3 }), at: text },
  })
  const id = fc.oneof(fc.constant(others.session), text)
  const level = fc.constantFrom('info', 'debug', 'loud', null)
  const levels = fc.record({
    level,
    configured: level,
    node: text,
    forMs: fc.constantFrom(null, 5, -1),
    revertsAt: text,
  })
  const list = <T>(of: fc.Arbitrary<T>) => fc.oneof(fc.array(of, { maxLength: 3 }), strange)
  return fc.oneof(
    strange,
    fc.record(
      {
        type: fc.constantFrom(...types),
        ...{ node: strange, incarnation: text, interests: list(interest), add: list(interest), remove: list(interest) },
        ...{
          frames: list(frame),
          handles: list(handle),
          ids: list(id),
          users: list(text),
          change: fc.oneof(change, levels),
        },
        ...{ reached: fc.oneof(fc.constant(true), strange), reason: fc.constantFrom('draining', 'stopping', 'else') },
        ...{ id: text, is: levels },
      },
      { requiredKeys: ['type'] },
    ),
  )
}

export async function fuzzPeerBus(target: Target, seed: number, runs: number): Promise<number> {
  const { node } = target
  const { body } = await node.call('GET', identityPath)
  const { incarnation } = body as { incarnation: string }
  const url = `${node.url.replace(/^http/, 'ws')}${busPath}`
  const headersOf = (secret: string, to = incarnation, from = 'peer-1') =>
    new PeerAuth(secret, systemClock, systemRandom).dial('peer', from, to).headers

  /** Its status when it is refused. */
  const refusal = (headers: Readonly<Record<string, string>>) =>
    new Promise<number>((resolve, reject) => {
      const socket = new WebSocket(url, { headers, handshakeTimeout: hungMs })
      socket.once('unexpected-response', (request, response) => {
        resolve(response.statusCode ?? 0)
        request.destroy()
      })
      socket.once('open', () => {
        socket.terminate()
        resolve(101)
      })
      socket.once('error', reject)
    })
  const good = headersOf(clusterSecret)
  const refused: readonly (readonly [Readonly<Record<string, string>>, number])[] = [
    [{}, 401],
    [headersOf('another secret altogether'), 401],
    [{ ...headersOf(clusterSecret), 'x-lens-signature': 'x'.repeat(8_000) }, 401],
    [{ ...headersOf(clusterSecret), 'x-lens-node': '%ff' }, 401],
    [{ ...headersOf(clusterSecret), 'x-lens-timestamp': 'NaN' }, 401],
    [{ ...headersOf(clusterSecret), 'x-lens-target': '' }, 401],
    [{ 'x-lens-nonce': 'a', 'x-lens-signature': 'b', authorization: `Bearer ${target.token}` }, 401],
    [headersOf(clusterSecret, 'somebody else'), 409],
    [good, 101],
    // Recorded and repeated.
    [good, 401],
  ]
  for (const [index, [headers, expected]] of refused.entries()) {
    const status = await refusal(headers)
    if (status !== expected) throw new Error(`stranger ${index}: ${status} instead of ${expected}`)
  }
  await Promise.all(Array.from({ length: 200 }, () => refusal(headersOf('another secret altogether'))))

  // Somebody whom all of it is about, whom nobody may harm by saying so.
  const listener = await new StreamClient(node.url, { token: target.othersToken }).opened()
  listener.send({ type: 'subscribe', id: 'q', topic: 'query', handle: target.others.query })
  listener.send({ type: 'subscribe', id: 's', topic: 'session' })
  listener.send({ type: 'subscribe', id: 'c', topic: 'cluster' })
  await listener.frame('the query of the listener', ({ type }) => type === 'query')
  const peer = new WebSocket(url, { headers: headersOf(clusterSecret) })
  await new Promise<void>((resolve, reject) => {
    peer.once('open', resolve)
    peer.once('error', reject)
  })
  /** Resolves when the node has read all that was sent before. */
  const read = () =>
    new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no pong in ${hungMs} ms`)), hungMs)
      const end = (error?: Error) => {
        clearTimeout(late)
        peer.off('close', gone)
        if (error) reject(error)
        else resolve()
      }
      const gone = () => end(new Error('the node cut a peer that it had believed'))
      peer.once('close', gone)
      peer.once('pong', () => end())
      peer.ping()
    })
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(messageFor(target), { maxLength: 6 }), async messages => {
        peer.send(JSON.stringify(messages))
        await read()
      }),
      { seed, numRuns: runs },
    )
    for (const frame of ['', '{', '[', '{}', 'null', '[[[]]]', `${'['.repeat(200_000)}${']'.repeat(200_000)}`])
      peer.send(frame)
    const nested = `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`
    const { others } = target
    peer.send(
      `[{"type":"frames","frames":[{"handle":"${others.query}","sessionId":"${others.session}","user":"bob","version":1,"epoch":1,"query":${nested}}]}]`,
    )
    peer.send(Buffer.alloc(1_000))
    await read()
    // More interests than are kept, twice, and a flood of hints.
    const many = (from: number) =>
      Array.from({ length: 20_000 }, (_, index) => ({ kind: 'query', id: `${from + index}` }))
    for (let from = 0; from < 200_000; from += 20_000)
      peer.send(JSON.stringify([{ type: 'interest', add: many(from), remove: [] }]))
    const hints = [{ type: 'look' }, { type: 'cluster-changed' }, { type: 'suspected', incarnation: 'nobody' }]
    for (let count = 0; count < 300; count++) peer.send(JSON.stringify(hints))
    peer.send(JSON.stringify([{ type: 'suspected', incarnation }]))
    await read()
    const told = await node.call('GET', `/api/v1/queries/${target.others.query}`, { token: target.othersToken })
    if (told.status !== 200 || told.body.outcome !== 'SUCCESSFUL')
      throw new Error(`what a peer said was believed: ${told.status} ${JSON.stringify(told.body)}`)
    if (listener.closed) throw new Error(`the listener was closed: ${JSON.stringify(listener.closed)}`)
    listener.send({ type: 'ping' })
    await listener.frame('that the listener is heard', ({ type }) => type === 'pong')
  } finally {
    peer.terminate()
    listener.terminate()
  }
  await Promise.all(
    brokenBytes()
      // What peers send may be larger, and what is binary or cannot be read is left out.
      .filter(([what]) => !/too large together|^binary$/.test(what))
      .map(async ([what, bytes], index) => {
        const socket = await upgraded(node.port, busPath, headersOf(clusterSecret, incarnation, `broken-${index}`))
        socket.write(bytes)
        await closed(socket, `${busPath}: ${what}`)
      }),
  )
  return runs + refused.length + 200 + brokenBytes().length
}
