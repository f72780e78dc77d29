/** WebSocket connections of clients, with frames that are wrong in form or in bytes, too many, or never read. */
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import fc from 'fast-check'
import { type ErrorCode, errorCatalogue } from '../../src/domain/index.ts'
import { StreamClient } from '../support/wire.ts'
import { bodyBytesMax, clusterSecret, hungMs, mark, type Target } from './target.ts'

const uuid = '00000000-0000-4000-8000-000000000000'
const strange = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom<unknown>('', '\0', "' or 1=1 --", '__proto__', -1, 1e308, 2 ** 53, [], {}, null, 'x'.repeat(5_000)),
)

/** Text of one message: frames that are nearly right, and anything else. */
function frameFor({ others }: Target): fc.Arbitrary<string> {
  const near = fc
    .record(
      {
        type: fc.oneof(fc.constantFrom('subscribe', 'unsubscribe', 'ping', 'authenticate', 'ready', 'query'), strange),
        id: fc.oneof(fc.constantFrom('a', 'b'), strange),
        topic: fc.oneof(fc.constantFrom('query', 'session', 'cluster', 'machines', 'nothing'), strange),
        handle: fc.oneof(fc.constantFrom(uuid, others.query, others.prepared), strange),
        after: fc.oneof(fc.constantFrom<unknown>(0, 99, { [others.query]: 0 }, { [uuid]: -1 }), strange),
        token: fc.oneof(fc.constantFrom(`${others.session}.x`, 'x'.repeat(600)), strange),
      },
      { requiredKeys: ['type'] },
    )
    .map(frame => JSON.stringify(frame))
  const broken = fc.constantFrom(
    '',
    'null',
    '[]',
    '[{"type":"ping"}]',
    '{"type":"ping"',
    '\ufeff{"type":"ping"}',
    '{"type":"ping","type":"authenticate"}',
    '{"__proto__":{"type":"ping"}}',
    `${'['.repeat(30_000)}${']'.repeat(30_000)}`,
    `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`,
    `{"type":"subscribe","id":"s","topic":"session","after":{${Array.from({ length: 900 }, (_, i) => `"${uuid.slice(0, -4)}${1000 + i}":${i}`).join()}}}`,
  )
  return fc.oneof({ weight: 4, arbitrary: near }, { weight: 1, arbitrary: broken })
}

/** Each connection sends some frames, then a ping: it has to be answered or the connection closed, with errors of the catalogue. */
async function exchangeFrames(target: Target, frames: readonly string[]): Promise<void> {
  const client = await new StreamClient(target.node.url, { token: target.token }).opened()
  try {
    for (const frame of frames) client.send(frame)
    client.send({ type: 'ping' })
    await settled(client)
    for (const frame of client.frames)
      if (
        frame.type === 'error' &&
        !(frame.code in errorCatalogue && (errorCatalogue[frame.code as ErrorCode].status ?? 500) < 500)
      )
        throw new Error(`an error that is none of a client's: ${JSON.stringify(frame)}`)
    if (client.messages.some(text => text.includes(mark) || text.includes(clusterSecret)))
      throw new Error('it says what is not for this client')
  } finally {
    client.terminate()
  }
}

function settled(client: StreamClient): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no answer in ${hungMs} ms`)), hungMs)
    const look = () => {
      if (client.closed === null && client.frames.at(-1)?.type !== 'pong' && !client.frames.some(isPong)) return
      clearTimeout(late)
      resolve()
    }
    client.socket.on('message', look)
    client.socket.on('close', () => setImmediate(look))
    look()
  })
}

const isPong = ({ type }: { type: string }) => type === 'pong'

/** Bytes below the level of frames: what no WebSocket may say. Each connection has to be closed by the node. */
export function brokenBytes(): readonly (readonly [string, Buffer])[] {
  const masked = (first: number, payload: Buffer) => {
    const key = randomBytes(4)
    const body = Buffer.from(payload.map((byte, index) => byte ^ (key[index % 4] as number)))
    const length = payload.length
    const head =
      length < 126 ? Buffer.from([first, 0x80 | length]) : Buffer.from([first, 0x80 | 126, length >> 8, length & 0xff])
    return Buffer.concat([head, key, body])
  }
  return [
    ['no mask', Buffer.from([0x81, 0x02, 0x68, 0x69])],
    ['reserved bits', masked(0xf1, Buffer.from('hi'))],
    ['an unknown opcode', masked(0x83, Buffer.from('hi'))],
    ['a continuation of nothing', masked(0x80, Buffer.from('hi'))],
    ['a ping in fragments', masked(0x09, Buffer.from('hi'))],
    ['a ping that is too long', masked(0x89, Buffer.alloc(200))],
    ['a length beyond what is allowed', Buffer.from([0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])],
    ['a length of more bits than there are', Buffer.from([0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])],
    ['broken UTF-8', masked(0x81, Buffer.from([0xff, 0xfe]))],
    ['a close with a code that is none', masked(0x88, Buffer.from([0x00, 0x01]))],
    ['a close of one byte', masked(0x88, Buffer.from([0x03]))],
    ['binary', masked(0x82, Buffer.from([1, 2, 3]))],
    [
      'fragments that are too large together',
      Buffer.concat([
        masked(0x01, Buffer.alloc(60_000, 0x20)),
        masked(0x00, Buffer.alloc(60_000, 0x20)),
        masked(0x80, Buffer.alloc(bodyBytesMax / 2, 0x20)),
      ]),
    ],
  ]
}

/** An upgraded connection as bare bytes. */
export async function upgraded(port: number, path: string, headers: Readonly<Record<string, string>>): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  const lines = Object.entries({
    host: 'x',
    connection: 'upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': randomBytes(16).toString('base64'),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
  const head = await new Promise<string>((resolve, reject) => {
    socket.once('data', data => resolve(String(data)))
    socket.once('close', () => reject(new Error(`${path} was closed instead of upgraded`)))
  })
  if (!head.startsWith('HTTP/1.1 101')) throw new Error(`not upgraded: ${head}`)
  return socket
}

/** Resolves when the node has closed it. */
export function closed(socket: Socket, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${what}: still open after ${hungMs} ms`)), hungMs)
    const done = () => {
      clearTimeout(late)
      socket.destroy()
      resolve()
    }
    if (socket.destroyed) return done()
    socket.resume()
    socket.once('end', done)
    socket.once('close', done)
  })
}

export async function fuzzStream(target: Target, seed: number, runs: number): Promise<number> {
  await target.renew()
  const { port } = target.node
  const authorization = { authorization: `Bearer ${target.token}` }
  await fc.assert(
    fc.asyncProperty(fc.array(frameFor(target), { maxLength: 8 }), frames => exchangeFrames(target, frames)),
    { seed, numRuns: runs },
  )
  await Promise.all(
    ['/api/v1/stream', '/api/v1/inspect'].flatMap(path =>
      brokenBytes().map(async ([what, bytes]) => {
        const socket = await upgraded(port, path, authorization)
        socket.write(bytes)
        await closed(socket, `${path}: ${what}`)
      }),
    ),
  )
  // Floods: more subscriptions than there may be, each opened and left, and connections that go in the middle of a frame.
  const flood = await new StreamClient(target.node.url, { token: target.token }).opened()
  for (let index = 0; index < 3_000; index++) {
    flood.send({ type: 'subscribe', id: `s${index}`, topic: index % 2 ? 'machines' : 'session' })
    if (index % 3 === 0) flood.send({ type: 'unsubscribe', id: `s${index}` })
  }
  flood.send({ type: 'ping' })
  await settled(flood)
  flood.terminate()
  await Promise.all(
    Array.from({ length: 40 }, async () => {
      const socket = await upgraded(port, '/api/v1/stream', authorization)
      socket.write(Buffer.from([0x81, 0xfe, 0x10, 0x00, 1, 2]))
      socket.destroy()
    }),
  )
  // Who answers no ping is dropped for its silence; who says that nothing more will come is not waited for.
  const silent = await upgraded(port, '/api/v1/stream', authorization)
  const half = await upgraded(port, '/api/v1/stream', authorization)
  half.end()
  await closed(half, 'a stream that was half closed')
  await closed(silent, 'a stream that answers no ping')
  return runs + brokenBytes().length * 2 + 43
}
