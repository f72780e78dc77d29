/** What reaches the log, byte by byte: fields, levels, and above all which secrets do not. */
import { Writable } from 'node:stream'
import test from 'ava'
import { createLogger, type LogLevel } from '../../src/observability/index.ts'

function recorded(level: LogLevel = 'info') {
  const lines: string[] = []
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    },
  })
  const logger = createLogger({ level, context: { node: 'n1' }, destination })
  return { logger, lines, last: () => JSON.parse(lines.at(-1) as string) as Record<string, unknown> }
}

test('a line is JSON with level, time, node and the fields of all its parents', t => {
  const { logger, last } = recorded()
  logger.child({ incarnation: 'i' }).child({ handle: 'h', epoch: 3 }).warn({ queries: 2 }, 'taken over')
  const { time, pid, ...rest } = last()
  t.regex(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  t.is(pid, process.pid)
  t.deepEqual(rest, {
    level: 'warn',
    node: 'n1',
    incarnation: 'i',
    handle: 'h',
    epoch: 3,
    queries: 2,
    msg: 'taken over',
  })
})

test('lines below the level are not written', t => {
  const { logger, lines } = recorded('warn')
  logger.info('quiet')
  t.false(logger.isLevelEnabled('info'))
  logger.error('loud')
  t.is(lines.length, 1)
})

const secret = 'hunter2secret'
const leaks: Record<string, (logger: ReturnType<typeof createLogger>) => void> = {
  'a field': logger =>
    logger.info({ token: secret, password: secret, authorization: secret, clusterSecret: secret }, 'x'),
  'a nested field': logger =>
    logger.info({ request: { headers: { Authorization: `Bearer ${secret}`, cookie: secret } } }, 'x'),
  'a field in a list': logger => logger.info({ sessions: [{ token: secret }] }, 'x'),
  'a URL in a field': logger => logger.info({ url: `mysql://lens:${secret}@db:3306/lens` }, 'x'),
  'a URL with a strange password': logger => logger.info({ url: `mysql://lens:a@b:${secret}@db:3306/lens` }, 'x'),
  'a URL in the message': logger => logger.info(`cannot reach mysql://lens:${secret}@db:3306/lens`),
  'a URL in the message beside fields': logger => logger.info({ a: 1 }, `cannot reach mysql://lens:${secret}@db/lens`),
  'the message and stack of an error': logger =>
    logger.error({ err: new Error(`mysql://lens:${secret}@db/lens`) }, 'x'),
  'an error without a message beside it': logger => logger.error({ err: new Error(`mysql://lens:${secret}@db/lens`) }),
  'a lone error': logger => logger.error(new Error(`mysql://lens:${secret}@db/lens`)),
  'the cause of an error': logger =>
    logger.error({ err: new Error('outer', { cause: new Error(`mysql://lens:${secret}@db/lens`) }) }, 'x'),
  'a token in a query string': logger => logger.info(`GET /lensapi?sessionid=${secret}&a=1`),
  'a token of a session': logger =>
    logger.info({ body: `for 0193b7a0-1111-7222-8333-444455556666.${secret} only` }, 'x'),
  'a token of an identity provider': logger => logger.info(`refused eyJhbGciOiJIUzI1NiJ9.${secret}.${secret}`),
  'a private key': logger =>
    logger.info({ text: `-----BEGIN EC PRIVATE KEY-----\n${secret}\n-----END EC PRIVATE KEY-----` }, 'x'),
  'the secret of a session in XML': logger => logger.info(`<publicId>1</publicId><secretId>${secret}</secretId>`),
  'JSON in a text': logger => logger.info(`refused {"password": "${secret} with blanks", "user": "ada"}`),
  'fields of the configuration': logger =>
    logger.info({ cluster: { secretAccepted: secret }, tokenSecrets: [secret] }, 'x'),
  'a header in the message': logger => logger.info(`Authorization: Bearer ${secret}`),
}
for (const [where, log] of Object.entries(leaks)) {
  test(`a secret is removed from ${where}`, t => {
    const { logger, lines } = recorded()
    log(logger)
    t.is(lines.length, 1)
    t.false(lines[0]?.includes(secret), lines[0])
    t.true(lines[0]?.includes('[redacted]'), lines[0])
  })
}

test('statements that drivers hang on their errors are left out', t => {
  const { logger, last } = recorded()
  const error = Object.assign(new Error('Duplicate entry'), { code: 'ER_DUP_ENTRY', sql: 'insert 1', parameters: [1] })
  logger.error({ err: error }, 'x')
  const { err } = last() as { err: Record<string, unknown> }
  t.like(err, { message: 'Duplicate entry', code: 'ER_DUP_ENTRY', sql: undefined, parameters: undefined })
})

test('facts are asked for with every line, and the line knows better', t => {
  const lines: string[] = []
  const destination = { write: (line: string) => lines.push(line) }
  let term = 1
  const logger = createLogger({ level: 'info', facts: () => ({ term }), destination })
  logger.info({}, 'x')
  term = 2
  logger.child({ part: 'cluster' }).info({}, 'x')
  logger.info({ term: 1 }, 'led')
  t.deepEqual(
    lines.map(line => JSON.parse(line).term),
    [1, 2, 1],
  )
})

test('what is not secret stays, and is not changed in place', t => {
  const { logger, last } = recorded()
  const fields = { url: 'http://127.0.0.1:9999', at: new Date(0), none: null, nested: { token: secret } }
  logger.info(fields, 'x')
  t.is(fields.nested.token, secret)
  t.like(last(), { url: 'http://127.0.0.1:9999', at: '1970-01-01T00:00:00.000Z', none: null })
})

test('a field that contains itself does not hang the log', t => {
  const { logger, last } = recorded()
  const loop: Record<string, unknown> = { name: 'loop' }
  loop.self = loop
  logger.info({ loop }, 'x')
  t.like(last(), { loop: { name: 'loop' }, msg: 'x' })
})
