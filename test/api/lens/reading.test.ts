/** Handles, configurations and bodies as clients write them, and as nobody should. */
import { setImmediate } from 'node:timers/promises'
import test from 'ava'
import { readForm } from '../../../src/api/lens/form.ts'
import { propertiesOf, tokenOf } from '../../../src/api/lens/reading.ts'
import { withoutHeader } from '../../../src/api/lens/results.ts'

const publicId = '01234567-89ab-4cde-8f01-23456789abcd'
const secretId = 'FEDCBA98-7654-4321-8fed-cba987654321'
const token = `${publicId}.${secretId.toLowerCase()}`
const inside = `<publicId>${publicId}</publicId><secretId>${secretId}</secretId>`

const handles: Readonly<Record<string, string>> = {
  'with prolog': `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<lensSessionHandle>${inside}</lensSessionHandle>`,
  'without prolog': `<lensSessionHandle>${inside}</lensSessionHandle>`,
  'with spaces': ` <lensSessionHandle>\n  ${inside.replace('><', '>\n<')}\n</lensSessionHandle>\n`,
  'in another order': `<lensSessionHandle><secretId>${secretId}</secretId><publicId>${publicId}</publicId></lensSessionHandle>`,
  'as JSON': JSON.stringify({ lensSessionHandle: { publicId, secretId } }),
}
for (const [title, text] of Object.entries(handles))
  test(`a handle ${title}`, t => {
    t.is(tokenOf(text), token)
  })

const noHandles = [
  undefined,
  '',
  publicId,
  `<lensSessionHandle><publicId>${publicId}</publicId></lensSessionHandle>`,
  `<lensSessionHandle><x>${inside}</x></lensSessionHandle>`,
  `<other>${inside}</other>`,
  `<lensSessionHandle>${inside}`,
  `<lensSessionHandle>${inside.replace(secretId, '1')}</lensSessionHandle>`,
  `<!DOCTYPE a [<!ENTITY p "${publicId}">]><lensSessionHandle><publicId>&p;</publicId><secretId>${secretId}</secretId></lensSessionHandle>`,
  '{"lensSessionHandle":null}',
  '{',
  '{}',
]
for (const text of noHandles)
  test(`no handle: ${text}`, t => {
    t.like(
      t.throws(() => tokenOf(text)),
      { wireCode: 2001 },
    )
  })

test('configurations', t => {
  t.deepEqual(propertiesOf(undefined), {})
  t.deepEqual(propertiesOf('<conf></conf>'), {})
  t.deepEqual(propertiesOf('<conf/>'), {})
  const entry = (key: string, value: string) => `<entry><key>${key}</key><value>${value}</value></entry>`
  const conf = (entries: string) => `<?xml version="1.0"?><conf><properties>${entries}</properties></conf>`
  t.deepEqual(propertiesOf(conf(entry('a', ' 1 &amp; 2 ') + entry('b', '<![CDATA[<x>]]>'))), { a: ' 1 & 2 ', b: '<x>' })
  t.deepEqual(propertiesOf(conf('<entry><key>a</key></entry>')), { a: '' })
  t.deepEqual(propertiesOf('{"conf":{"properties":{"entry":[{"key":"a","value":"1"}]}}}'), { a: '1' })
  t.deepEqual(propertiesOf('{"conf":{}}'), {})
  for (const text of ['<conf>', '<other/>', 'x', conf('&nope;'), '<!DOCTYPE conf><conf/>'])
    t.like(
      t.throws(() => propertiesOf(text)),
      { wireCode: 1002 },
      text,
    )
  const many = Array.from({ length: 257 }, (_, index) => entry(`k${index}`, '')).join('')
  for (const text of [conf(entry('a b', '1')), conf(entry('__proto__', '1')), conf(many), '{"conf":null}', '{"conf"'])
    t.like(
      t.throws(() => propertiesOf(text)),
      { wireCode: 1006 },
    )
})

const form = (body: string, type = 'multipart/form-data; boundary=B') => readForm(type, Buffer.from(body))
const part = (name: string, value: string, more = '') =>
  `--B\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`

test('parts are text, whatever they call themselves', async t => {
  const read = await form(`${part('a', 'é\r\nx', '; filename="a"')}${part('b', '2')}${part('a', 'second')}--B--\r\n`)
  t.deepEqual(
    [...read],
    [
      ['a', 'é\r\nx'],
      ['b', '2'],
    ],
  )
})

test('bodies that are no forms', async t => {
  await t.throwsAsync(form('', 'multipart/form-data'), { message: /cannot be read/ })
  await t.throwsAsync(form('nothing of the kind'), { message: /cannot be read/ })
  await t.throwsAsync(form(part('a', '1')), { message: /cannot be read/ })
  const many = Array.from({ length: 40 }, (_, index) => part(`p${index}`, '')).join('')
  // Whole, cut, and without a head. What the parser says of it later comes within this turn; with nobody to hear it, the run fails.
  for (const body of [`${many}--B--\r\n`, many, '--B\r\n\r\n'.repeat(33), '--B\r\n\r\n'.repeat(10_000)])
    await t.throwsAsync(form(body), { message: /more than 32 parts/ })
  await setImmediate()
})

test('CSV without its first line, wherever it is cut', async t => {
  const text = '"a\r\n""b",c\r\n1,"x\r\ny"\r\n'
  for (let size = 1; size <= text.length; size++) {
    async function* chunks() {
      for (let at = 0; at < text.length; at += size) yield Buffer.from(text.slice(at, at + size))
    }
    let rest = ''
    for await (const chunk of withoutHeader(chunks())) rest += Buffer.from(chunk).toString()
    t.is(rest, '1,"x\r\ny"\r\n')
  }
})
