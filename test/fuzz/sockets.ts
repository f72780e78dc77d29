/** Bytes on bare sockets: requests that are two things at once, that never end, and connections that do nothing, ten thousand of them. */
import { connect, type Socket } from 'node:net'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { exchange, open } from '../support/wire.ts'
import { closed } from './frames.ts'
import { hungMs, type Target } from './target.ts'

const json = 'content-type: application/json\r\n'

/** Each has to be answered with nothing but these, and to be closed then. */
function shapes(token: string): readonly (readonly [string, string | Buffer, readonly number[]])[] {
  const auth = `host: x\r\nauthorization: Bearer ${token}\r\n`
  const post = `POST /api/v1/queries HTTP/1.1\r\n${auth}${json}`
  const inner = 'GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n'
  const bomb = gzipSync(Buffer.alloc(20_000_000, 0x20))
  const packed = (encoding: string, bytes: Buffer) =>
    Buffer.concat([
      Buffer.from(
        `${post}content-encoding: ${encoding}\r\nconnection: close\r\ncontent-length: ${bytes.length}\r\n\r\n`,
      ),
      bytes,
    ])
  return [
    ['a length and chunks', `${post}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${inner}`, [400]],
    ['two lengths', `${post}content-length: 0\r\ncontent-length: 43\r\n\r\n${inner}`, [400]],
    [
      'two encodings',
      `${post}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n${inner}`,
      [400],
    ],
    ['an encoding that is nearly chunked', `${post}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n${inner}`, [400]],
    ['space before the colon', `${post}content-length : 43\r\n\r\n${inner}`, [400]],
    ['a length with a sign', `${post}content-length: +0\r\n\r\n${inner}`, [400]],
    ['a chunk of nonsense', `${post}transfer-encoding: chunked\r\n\r\nzz\r\n${inner}`, [400]],
    ['a chunk of astronomic length', `${post}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n${inner}`, [400]],
    ['line feeds alone', `GET /healthz HTTP/1.1\nhost: x\n\n`, [400]],
    [
      'a header that is folded',
      `GET /healthz HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\nconnection: close\r\n\r\n`,
      [200, 400],
    ],
    ['NUL in a header', `GET /healthz HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n`, [400]],
    ['no method', ` /healthz HTTP/1.1\r\nhost: x\r\n\r\n`, [400]],
    ['a protocol of before', `GET /healthz HTTP/0.9\r\n\r\n`, [200, 400]],
    ['another protocol', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01]), [400]],
    ['a path that is none', `GET ../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n`, [400]],
    [
      'a path as others write it',
      `GET http://elsewhere/healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
      [404, 200],
    ],
    ['up and up', `GET /assets/../../../../etc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`, [404]],
    ['two hosts', `GET /healthz HTTP/1.1\r\nhost: x\r\nhost: y\r\nconnection: close\r\n\r\n`, [200, 400]],
    ['many headers', `GET /healthz HTTP/1.1\r\nhost: x\r\n${'a: b\r\n'.repeat(3_000)}\r\n`, [413]],
    ['a long header', `GET /healthz HTTP/1.1\r\nhost: x\r\na: ${'b'.repeat(100_000)}\r\n\r\n`, [413]],
    ['a compressed bomb', packed('gzip', bomb), [400]],
    ['another', packed('br', brotliCompressSync(Buffer.alloc(20_000_000))), [400]],
    ['a bomb in a bomb', packed('gzip, gzip', gzipSync(bomb)), [400]],
  ]
}

/** Never more than begun: each has to be cut off. */
function unfinished(token: string): readonly (readonly [string, string])[] {
  return [
    ['half a request line', 'GET /heal'],
    ['half the headers', 'GET /healthz HTTP/1.1\r\nhost: x\r\nx: '],
    [
      'half a body',
      `POST /api/v1/queries HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n${json}content-length: 100\r\n\r\n{`,
    ],
    [
      'half a chunk',
      `POST /api/v1/queries HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n${json}transfer-encoding: chunked\r\n\r\n5\r\n{`,
    ],
    [
      'half a form',
      `POST /lensapi/session HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 900\r\n\r\n--b\r\n`,
    ],
  ]
}

export async function fuzzSockets(target: Target): Promise<number> {
  await target.renew()
  const { port } = target.node
  const all = shapes(target.token)
  await Promise.all(
    all.map(async ([what, bytes, expected]) => {
      const answer = await within(exchange(port, bytes), what)
      const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status))
      if (statuses.length !== 1 || !expected.includes(statuses[0] as number))
        throw new Error(`${what}: ${statuses.join()} instead of ${expected.join(' or ')}: ${answer.slice(0, 500)}`)
    }),
  )
  const pipelined = 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'
  const answers = await within(
    exchange(port, `${pipelined.repeat(300)}GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`),
    'pipelined requests',
  )
  if ([...answers.matchAll(/HTTP\/1\.1 200 /g)].length !== 301) throw new Error('pipelined requests were lost')
  // A hundred at a time: slow clients must not make others wait.
  const slow = unfinished(target.token)
  const sockets: Socket[] = []
  for (let count = 0; count < 20; count++)
    for (const [, bytes] of slow) {
      const socket = await open(port)
      socket.on('error', () => {})
      socket.write(bytes)
      sockets.push(socket)
    }
  await target.isWell()
  await Promise.all(sockets.map((socket, index) => closed(socket, slow[index % slow.length]?.[0] as string)))
  return all.length + 301 + sockets.length
}

/** So many connections that say nothing, while requests are answered. */
export async function holdIdle(target: Target, count: number): Promise<void> {
  const sockets: Socket[] = []
  try {
    for (let left = count; left > 0; left -= 200)
      sockets.push(...(await Promise.all(Array.from({ length: Math.min(200, left) }, () => idle(target.node.port)))))
    await target.isWell()
    const beganAt = performance.now()
    for (let count = 0; count < 50; count++) await target.node.call('GET', '/api/v1/queries', { token: target.token })
    if (performance.now() - beganAt > hungMs) throw new Error('requests wait for idle connections')
    const { files } = await target.held()
    if (files < count) throw new Error(`the node holds ${files} files: the connections were not kept`)
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}

function idle(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      socket.on('error', () => {})
      // A connection that has been answered once is an idle one; one that never spoke is cut off sooner.
      socket.once('data', () => resolve(socket.resume()))
      socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n')
    })
  })
}

function within<T>(answer: Promise<T>, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${what}: no end in ${hungMs} ms`)), hungMs)
    answer.then(resolve, reject).finally(() => clearTimeout(late))
  })
}
