/** Signing in at the console where a password, or a token of an issuer, is asked for. */
import { join } from 'node:path'
import test from 'ava'
import { systemRandom } from '../../src/async/index.ts'
import { hashOfPassword } from '../../src/auth/passwords.ts'
import { changeUser } from '../../src/auth/users-file.ts'
import { temporaryFolder } from '../support/folders.ts'
import { Issuer } from '../support/issuer.ts'
import { TestCluster } from '../support/nodes.ts'
import { accessibilityFaults, testBrowser } from './support.ts'

const browser = testBrowser(test)
const refusals = [{ status: 401, path: '/api/v1/sessions' }]

test('by user and password: a wrong one is said, the right one opens the address that was asked for', async t => {
  const usersFile = join(await temporaryFolder(t, 'users'), 'users')
  await changeUser(usersFile, 'ada', await hashOfPassword('correct horse', systemRandom))
  const cluster = new TestCluster(null, { LENS_AUTH_METHOD: 'basic', LENS_AUTH_USERS_FILE: usersFile })
  t.teardown(() => cluster.stop())
  const node = await (await cluster.start({ name: 'n1' })).ready()
  for (const theme of ['light', 'dark'] as const) {
    const page = await browser.open(t, { nodes: [node], path: '/sessions', theme, refusals })
    const password = page.getByLabel('Password')
    await page.getByLabel('User name').fill('ada')
    await password.fill('wrong horse')
    await password.press('Enter')
    await page.getByRole('alert').getByText('The user is unknown, or the password is wrong.').waitFor()
    t.deepEqual(await accessibilityFaults(page), [])
    await password.fill('correct horse')
    await password.press('Enter')
    await page.getByRole('button', { name: 'Sign out' }).waitFor()
    t.is(new URL(page.url()).pathname, '/sessions')
    t.false((await page.content()).includes('correct horse'))
    t.false(JSON.stringify(await page.evaluate(() => ({ ...sessionStorage, ...localStorage }))).includes('horse'))
  }
})

test('by a token of the issuer: the claims say who it is, and who is an admin', async t => {
  const issuer = await Issuer.start()
  t.teardown(() => issuer.stop())
  const cluster = new TestCluster(null, {
    LENS_AUTH_METHOD: 'jwt',
    LENS_AUTH_JWT_ISSUER: issuer.url,
    LENS_AUTH_JWT_AUDIENCE: 'lens',
    LENS_AUTH_JWT_ADMIN_CLAIM: 'operator',
  })
  t.teardown(() => cluster.stop())
  const node = await (await cluster.start({ name: 'n1' })).ready()
  const page = await browser.open(t, { nodes: [node], path: '/cluster', refusals })
  const token = page.getByLabel('Token of your identity provider')
  await token.fill(await issuer.token('ada', { aud: 'elsewhere' }))
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').getByText('its claim aud is not as expected').waitFor()
  t.deepEqual(await accessibilityFaults(page), [])
  await token.fill(await issuer.token('ada', { operator: true }))
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('button', { name: /^Drain/ }).waitFor()
})
