/** `lens user`, and signing in from the command line: by a file, the environment, and what is typed unseen. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { temporaryFolder } from '../support/folders.ts'
import { Issuer } from '../support/issuer.ts'
import { TestCluster } from '../support/nodes.ts'
import { plain, run, startOnTerminal } from './support.ts'

const password = 'correct horse'

test('users are added, listed, given another password and removed', async t => {
  const cwd = await temporaryFolder(t)
  const user = (args: string[], input = '') => run(t, ['user', ...args, '--file', 'users'], { cwd, input })
  t.like(await user(['add', 'ada'], `${password}\n`), { code: 0, out: 'ada may sign in now.\n' })
  const before = readFileSync(join(cwd, 'users'), 'utf8')
  t.like(await user(['add', 'ada'], 'battery staple\n'), { code: 0, out: 'ada has another password now.\n' })
  t.not(readFileSync(join(cwd, 'users'), 'utf8'), before)
  t.like(await user(['add', 'bob'], password), { code: 0 })
  t.like(await user(['list']), { code: 0, out: 'ada\nbob\n' })
  t.like(await user(['remove', 'ada']), { code: 0, out: 'ada may not sign in any more.\n' })
  t.like(await user(['list']), { code: 0, out: 'bob\n' })

  for (const [args, input, expected] of [
    [['remove', 'ada'], '', /no user ada/],
    [['add', 'a:b'], password, /expected a name/],
    [['add', 'ada'], 'short\n', /at least 8 characters/],
    [['add', 'ada'], '', /first line of the input/],
  ] as const) {
    const { code, err } = await user([...args], input)
    t.is(code, 2)
    t.regex(err, expected)
  }
  writeFileSync(join(cwd, 'users'), 'hunter2')
  const { code, err } = await user(['list'])
  t.is(code, 2)
  t.regex(err, /users: line 1: expected/)
  t.false(err.includes('hunter2'))
  const nowhere = await run(t, ['user', 'list'], { cwd })
  t.regex(nowhere.err, /expected --file, or auth\.usersFile/)
})

test('a password from the terminal is not shown, and typed twice', async t => {
  const cwd = await temporaryFolder(t)
  const adding = startOnTerminal(t, ['user', 'add', 'ada', '--file', 'users'], { cwd })
  await adding.until('the question', ({ out }) => out.includes('Password of ada: '))
  adding.write(`wrong${'\u007f'.repeat(5)}${password}\r`)
  await adding.until('the second question', ({ out }) => out.includes('Once more: '))
  adding.write(`${password}\r`)
  const { code, out } = await adding.finished
  t.is(code, 0, out)
  t.false(out.includes('horse') || out.includes('wrong'))

  const differing = startOnTerminal(t, ['user', 'add', 'ada', '--file', 'users'], { cwd })
  await differing.until('the question', ({ out }) => out.includes('Password of ada: '))
  differing.write(`${password}\r`)
  await differing.until('the second question', ({ out }) => out.includes('Once more: '))
  differing.write('something else\r')
  t.regex((await differing.finished).out, /not the same/)
})

test('a command signs in by what it is given, and asks where somebody can answer', async t => {
  const cwd = await temporaryFolder(t)
  await run(t, ['user', 'add', 'ada', '--file', 'users'], { cwd, input: password })
  writeFileSync(join(cwd, 'secret'), `${password}\n`)
  const usersFile = join(cwd, 'users')
  const cluster = new TestCluster(null, { LENS_AUTH_METHOD: 'basic', LENS_AUTH_USERS_FILE: usersFile })
  t.teardown(() => cluster.stop())
  const node = await (await cluster.start({ name: 'n1' })).ready()
  const query = ['query', 'select 42 as answer', '-f', 'csv', '--server', node.url, '--user', 'ada']
  const env = { LENS_PASSWORD: password }
  t.like(await run(t, query, { cwd, env }), { code: 0, out: 'answer\r\n42\r\n' })
  t.like(await run(t, [...query, '--password-file', 'secret'], { cwd }), { code: 0, out: 'answer\r\n42\r\n' })
  for (const [args, environment, expected] of [
    [query, {}, /expected Basic/],
    [query, { LENS_PASSWORD: 'wrong password' }, /password is wrong/],
    [[...query, '--password-file', 'nowhere'], {}, /nowhere cannot be read \(ENOENT\)/],
  ] as const) {
    const { code, err } = await run(t, args, { cwd, env: environment })
    t.true(code === 1 || code === 2, err)
    t.regex(err, expected)
  }
  const asked = startOnTerminal(t, query, { cwd })
  await asked.until('the question', ({ out }) => out.includes('Password of ada: '))
  asked.write(`${password}\r`)
  const answer = await asked.finished
  t.is(answer.code, 0, answer.out)
  t.regex(plain(answer.out), /answer\n42\n/)

  const shell = startOnTerminal(t, ['shell', '--server', node.url, '--user', 'ada'], { cwd })
  await shell.until('the question', ({ out }) => out.includes('Password of ada: '))
  shell.write(`${password}\r`)
  await shell.until('the prompt', ({ out }) => out.includes('lens> '))
  shell.write('select 41 + 1 as sum;\r')
  await shell.until('the answer', ({ out }) => /\b42\b/.test(plain(out)))
  shell.write('exit\r')
  t.is((await shell.finished).code, 0)
})

test('a command signs in by a token of the issuer', async t => {
  const cwd = await temporaryFolder(t)
  const issuer = await Issuer.start()
  t.teardown(() => issuer.stop())
  const cluster = new TestCluster(null, {
    LENS_AUTH_METHOD: 'jwt',
    LENS_AUTH_JWT_ISSUER: issuer.url,
    LENS_AUTH_JWT_AUDIENCE: 'lens',
  })
  t.teardown(() => cluster.stop())
  const node = await (await cluster.start({ name: 'n1' })).ready()
  const query = ['query', 'select 42 as answer', '-f', 'csv', '--server', node.url]
  writeFileSync(join(cwd, 'jwt'), await issuer.token('ada'))
  t.like(await run(t, query, { cwd, env: { LENS_JWT: await issuer.token('ada') } }), {
    code: 0,
    out: 'answer\r\n42\r\n',
  })
  t.like(await run(t, [...query, '--jwt-file', 'jwt'], { cwd }), { code: 0, out: 'answer\r\n42\r\n' })
  const { code, err } = await run(t, query, { cwd, env: { LENS_JWT: await issuer.token('ada', { aud: 'x' }) } })
  t.not(code, 0)
  t.regex(err, /claim aud is not as expected/)
})
