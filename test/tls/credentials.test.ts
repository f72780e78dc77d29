/** What is taken from disk: a set that fits together, or the one before it. */
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { systemClock } from '../../src/async/index.ts'
import { CredentialsFault, HeldCredentials, readCredentials } from '../../src/tls/index.ts'
import { CredentialsReload } from '../../src/tls/reload.ts'
import { Authority, replace, replaceFile } from '../support/certificates.ts'
import { eventually } from '../support/conditions.ts'

test('half of a change is not taken, told once, and taken when it is whole', async t => {
  const authority = await Authority.create(t)
  const place = await authority.issue('place')
  const next = await authority.issue('next')
  const held = new HeldCredentials({ ...place, caFile: authority.caFile })
  const before = held.current
  t.is(held.renew(), 'kept')
  await replaceFile(place.certificateFile, next.certificateFile)
  const fault = t.throws(() => held.renew(), { instanceOf: CredentialsFault })
  t.is(fault.which, 'keyFile')
  t.true(fault.message.includes(place.keyFile))
  t.is(held.renew(), 'kept', 'the same fault is not told again')
  t.is(held.current, before)
  await replaceFile(place.keyFile, next.keyFile)
  t.is(held.renew(), 'taken')
  t.is(held.current.cert, readFileSync(next.certificateFile, 'utf8'))
  t.is(held.renew(), 'kept')
})

test('a file that is cut off is not taken, wherever the cut is', async t => {
  const authority = await Authority.create(t)
  const other = await Authority.create(t, 'another')
  const whole = `${readFileSync(authority.caFile, 'utf8')}${readFileSync(other.caFile, 'utf8')}`
  const caFile = join(authority.folder, 'both.pem')
  writeFileSync(caFile, whole)
  const held = new HeldCredentials({ caFile })
  const inSecond = readFileSync(authority.caFile, 'utf8').length + 200
  for (const length of [0, 200, inSecond]) {
    writeFileSync(caFile, whole.slice(0, length))
    t.throws(() => held.renew(), { instanceOf: CredentialsFault }, `${length}`)
    t.is(held.current.ca, whole)
    writeFileSync(caFile, whole)
    t.is(held.renew(), 'kept')
  }
})

test('faults name key and file, and never show a key', async t => {
  const authority = await Authority.create(t)
  const { certificateFile, keyFile } = await authority.issue('n')
  const other = await authority.issue('other')
  const faultOf = (files: Parameters<typeof readCredentials>[0]) =>
    t.throws(() => readCredentials(files), { instanceOf: CredentialsFault })
  t.is(faultOf({ certificateFile }).which, 'keyFile')
  t.is(faultOf({ keyFile }).which, 'certificateFile')
  t.is(faultOf({ certificateFile: keyFile, keyFile }).which, 'certificateFile')
  t.is(faultOf({ certificateFile, keyFile: '/nowhere' }).which, 'keyFile')
  t.is(faultOf({ certificateFile, keyFile: certificateFile }).which, 'keyFile')
  const mismatch = faultOf({ certificateFile, keyFile: other.keyFile })
  const secret = readFileSync(other.keyFile, 'utf8').split('\n')[1] as string
  t.false(mismatch.message.includes(secret))
})

test('the end of validity is that of the first in the chain to end', async t => {
  const authority = await Authority.create(t)
  const short = await authority.issue('short', ['localhost'], -1)
  const long = await authority.issue('long', ['localhost'], 30)
  const { endsAtMs } = readCredentials(short)
  t.true((endsAtMs as number) < Date.now())
  const before = readCredentials(long).endsAtMs as number
  t.true(before > Date.now() + 29 * 86_400_000)
  writeFileSync(long.certificateFile, readFileSync(authority.caFile, 'utf8'), { flag: 'a' })
  t.true((readCredentials(long).endsAtMs as number) < before)
  await replace(long, short)
  t.is(readCredentials(long).endsAtMs, endsAtMs)
})

for (const [how, reloadMs] of [
  ['told of by its folder', 3_600_000],
  ['not told of, and found by looking', 100],
] as const)
  test(`a change that is ${how} is taken`, async t => {
    const authority = await Authority.create(t)
    const next = await authority.issue('next')
    const real = await authority.issue('real')
    const folder = join(authority.folder, 'links')
    mkdirSync(folder)
    const place = { certificateFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') }
    symlinkSync(real.certificateFile, place.certificateFile)
    symlinkSync(real.keyFile, place.keyFile)
    const held = new HeldCredentials(place)
    const log = { info: () => undefined, warn: () => undefined }
    let taken = 0
    const watched = [{ use: 'listener', held, onTaken: () => taken++ }] as const
    const reload = new CredentialsReload({ watched, reloadMs, clock: systemClock, log })
    t.teardown(() => reload.stop())
    await reload.start()
    if (reloadMs > 1000) await replace(place, next)
    else for (const key of ['keyFile', 'certificateFile'] as const) copyFileSync(next[key], real[key])
    await eventually(() => taken === 1)
    t.is(held.current.cert, readFileSync(next.certificateFile, 'utf8'))
  })
