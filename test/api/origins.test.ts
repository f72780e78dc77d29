/** Which pages may call: the table of `origins.ts`, for requests and WebSockets alike. */
import test from 'ava'
import { Origins } from '../../src/api/origins.ts'

const loopback = new Origins({
  node: { host: '127.0.0.1', advertiseUrl: 'http://127.0.0.1:9999' },
  cors: { origins: ['https://app.example.com/'] },
})
const everywhere = new Origins({
  node: { host: '0.0.0.0', advertiseUrl: 'http://lens1.internal:9999' },
  cors: { origins: [] },
})

const anyone = new Origins({
  node: { host: '127.0.0.1', advertiseUrl: 'http://127.0.0.1:9999' },
  cors: { origins: ['*'] },
})

const cases: readonly (readonly [string, Origins, string, string | undefined, 'named' | 'same' | 'refused'])[] = [
  ['a named origin', loopback, 'https://app.example.com', '127.0.0.1:9999', 'named'],
  ['a named origin in other letters', loopback, 'https://APP.example.com', '127.0.0.1:9999', 'named'],
  ['another scheme of a named host', loopback, 'http://app.example.com', '127.0.0.1:9999', 'refused'],
  ['another port of a named host', loopback, 'https://app.example.com:8443', '127.0.0.1:9999', 'refused'],
  ['a stranger', loopback, 'https://evil.example', '127.0.0.1:9999', 'refused'],
  ['no origin at all, as sandboxed pages say', loopback, 'null', '127.0.0.1:9999', 'refused'],
  ['what is no URL', loopback, '%%%', '127.0.0.1:9999', 'refused'],
  ['its own page', loopback, 'http://127.0.0.1:9999', '127.0.0.1:9999', 'same'],
  ['its own page by name', loopback, 'http://localhost:9999', 'localhost:9999', 'same'],
  ['its own page by IPv6', loopback, 'http://[::1]:9999', '[::1]:9999', 'same'],
  ['another port of its own host', loopback, 'http://localhost:3000', 'localhost:9999', 'refused'],
  ['a name pointed at the loopback address', loopback, 'http://evil.example:9999', 'evil.example:9999', 'refused'],
  ['its own page under any name, where it serves everyone', everywhere, 'http://lens.corp', 'lens.corp', 'same'],
  ['the advertised name behind a proxy', everywhere, 'http://lens1.internal:9999', 'other:1', 'same'],
  ['a stranger, where it serves everyone', everywhere, 'http://evil.example', 'lens.corp', 'refused'],
  ['anyone, where `*` is named', anyone, 'null', 'lens.corp', 'named'],
  ['a request without Host', everywhere, 'http://evil.example', undefined, 'refused'],
]

for (const [what, origins, origin, host, expected] of cases)
  test(`${what}: ${expected}`, t => t.is(origins.judge(origin, host), expected))
