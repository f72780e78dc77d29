/** What the Sessions page shows of the properties of a session. */
import test from 'ava'
import { shownValue } from '../../src/console/sessions/shown-value.ts'

test('nothing is shown of a property with a telling name', t => {
  for (const name of [
    'password',
    'db.passwd',
    'PWD',
    'client_secret',
    'access-token',
    'aws.credentials',
    'apiKey',
    'api_key',
  ])
    t.notRegex(shownValue(name, 'hunter2'), /hunter/, name)
  for (const name of ['private.key', 'Authorization', 'cookie', 'passphrase'])
    t.notRegex(shownValue(name, 'hunter2'), /hunter/, name)
})

test('of an address the password is hidden and the rest is shown; so it is with headers', t => {
  t.regex(shownValue('source', 'mysql://ada:hunter2@db:3306/x'), /^mysql:\/\/ada:[^h]+@db:3306\/x$/)
  t.notRegex(shownValue('header', 'Bearer hunter2.abc'), /hunter/)
})

test('what is no secret is shown as it is', t => {
  for (const [name, value] of [
    ['timezone', 'Europe/Oslo'],
    ['source', 'https://example.com/a:b@c'],
    ['keyboard', 'qwerty'],
  ] as const)
    t.is(shownValue(name, value), value)
})
