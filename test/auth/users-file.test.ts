/** The users file: what it may say, how it changes, and passwords in it that other programs made. */
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { systemRandom } from '../../src/async/index.ts'
import { hashOfPassword, isPassword, nobodysHash, parsePasswordHash } from '../../src/auth/passwords.ts'
import { changeUser, isUserName, parseUsers, UsersFile, UsersFileFault } from '../../src/auth/users-file.ts'
import { temporaryFolder } from '../support/folders.ts'

/** By Python's hashlib.scrypt(b'correct horse', salt=b'0123456789abcdef', n=2**14, r=8, p=1, dklen=32). */
const pythons = '$scrypt$ln=14,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$0LupyHkzAIgDr9UDsriAAf87vMbCbcaUfDvFOAHk0D0'
const quiet = { info: () => {}, warn: () => {} }

test('a password is known again by its hash, and no other one is', async t => {
  const text = await hashOfPassword('correct horse', systemRandom)
  t.regex(text, /^\$scrypt\$ln=15,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
  t.not(text, await hashOfPassword('correct horse', systemRandom), 'each has a salt of its own')
  const hash = parsePasswordHash(text)
  if (!hash) throw new Error(text)
  t.true(await isPassword('correct horse', hash))
  t.false(await isPassword('correct horsE', hash))
  t.false(await isPassword('', hash))
  t.false(await isPassword('correct horse', nobodysHash))
  const accented = parsePasswordHash(await hashOfPassword('caf\u00e9 au lait', systemRandom))
  t.true(accented !== null && (await isPassword('cafe\u0301 au lait', accented)), 'however a keyboard writes it')
})

test('what another program hashed is understood', async t => {
  const hash = parsePasswordHash(pythons)
  t.true(hash !== null && (await isPassword('correct horse', hash)))
})

test('hashes of another form, or that would take a node’s memory, are none', t => {
  for (const text of [
    '',
    'secret',
    '$2b$10$abcdefghijklmnopqrstuv',
    pythons.replace('ln=14', 'ln=0'),
    pythons.replace('ln=14', 'ln=25'),
    pythons.replace('r=8', 'r=999'),
    pythons.replace('MDEyMzQ1Njc4OWFiY2RlZg', ''),
  ])
    t.is(parsePasswordHash(text), null, text)
})

test('a file of users: blank lines and remarks are left out, faults are named by their line and never quoted', t => {
  const users = parseUsers(`# staff\n\nada:${pythons}\n grace hopper :${pythons}\n`)
  t.deepEqual([...users.keys()], ['ada', 'grace hopper'])
  for (const [text, line] of [
    ['hunter2', 1],
    [`# x\n:${pythons}`, 2],
    ['ada:hunter2', 1],
    [`ada:${pythons}\nbob:${pythons}\nada:${pythons}`, 3],
  ] as const) {
    const error = t.throws(() => parseUsers(text), { instanceOf: UsersFileFault })
    t.true(error.message.startsWith(`line ${line}: `), error.message)
    t.false(error.message.includes('hunter2'))
  }
  t.true(isUserName('ada@example.com'))
  for (const name of ['', ' ada', 'a:b', '#ada', 'a\u0007b', 'x'.repeat(129)]) t.false(isUserName(name), name)
})

test('users are added, given another password and removed, and nothing else in the file moves', async t => {
  const file = join(await temporaryFolder(t, 'users'), 'users')
  t.false(await changeUser(file, 'ada', pythons))
  t.is(statSync(file).mode & 0o777, 0o600, 'for the eyes of its owner')
  writeFileSync(file, `# staff\n\n${readFileSync(file, 'utf8')}# guests\n`)
  t.false(await changeUser(file, 'bob', pythons))
  const other = await hashOfPassword('another one', systemRandom)
  t.true(await changeUser(file, 'ada', other))
  t.is(readFileSync(file, 'utf8'), `# staff\n\nada:${other}\n# guests\nbob:${pythons}\n`)
  t.true(await changeUser(file, 'ada', null))
  t.false(await changeUser(file, 'ada', null))
  t.is(readFileSync(file, 'utf8'), `# staff\n\n# guests\nbob:${pythons}\n`)
})

test('a file that changes is read again; one that is broken or gone leaves what was known', async t => {
  const folder = await temporaryFolder(t, 'users')
  const file = join(folder, 'users')
  await t.throwsAsync(new UsersFile(file, quiet).open(), {
    message: /auth\.usersFile: .*users: cannot be read \(ENOENT\)/,
  })
  writeFileSync(file, 'ada')
  await t.throwsAsync(new UsersFile(file, quiet).open(), { message: /auth\.usersFile: .*: line 1: expected/ })
  writeFileSync(file, `ada:${pythons}\n`)
  const warned: object[] = []
  const users = new UsersFile(file, { ...quiet, warn: fields => warned.push(fields) })
  await users.open()
  t.truthy(await users.find('ada'))
  t.is(await users.find('bob'), undefined)
  await changeUser(file, 'bob', pythons)
  t.truthy(await users.find('bob'))
  writeFileSync(file, 'nonsense, and longer than before'.repeat(20))
  t.truthy(await users.find('ada'))
  t.is(warned.length, 1)
  t.truthy(await users.find('bob'), 'and it is not read again while it stays so')
  t.is(warned.length, 1)
  rmSync(file)
  mkdirSync(file)
  t.truthy(await users.find('ada'))
})
