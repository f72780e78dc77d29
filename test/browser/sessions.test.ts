/** The Sessions page in a real browser: one's own, everybody's for admins, secrets hidden, closed after a question. */
import test from 'ava'
import type { Page } from 'playwright-core'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { endless } from '../support/sleeping.ts'
import { accessibilityFaults, signIn, testBrowser, until } from './support.ts'

const browser = testBrowser(test)
const cluster = new TestCluster(null)
let node: NodeProcess

test.before('start a node', async () => {
  ;[node] = (await cluster.startAll(1)) as [NodeProcess]
})
test.after.always('stop it', () => cluster.stop())

const row = (page: Page, id: string) => page.locator(`[data-key="${id}"]`)
const ownId = (page: Page): Promise<string> =>
  page.evaluate(() => JSON.parse(sessionStorage.getItem('lens.session') ?? '{}').id)

test('one sees one’s own sessions, as they come, without what looks like a secret; not those of others', async t => {
  const before = await node.session('eve', {
    database: 'flights',
    properties: {
      'db.password': 'hunter2',
      'api-key': 'hunter3',
      source: 'mysql://eve:hunter4@db/flights',
      zone: 'utc',
    },
  })
  const other = await node.session('mallory')
  const page = await browser.open(t, { nodes: [node], path: '/sessions' })
  await signIn(page, 'eve')
  await row(page, before.id).getByText('4 properties').click()
  await row(page, before.id).getByText('utc').waitFor()
  const text = (await row(page, before.id).textContent()) ?? ''
  t.regex(text, /flights/)
  t.regex(text, /db\.password/)
  t.notRegex(await page.content(), /hunter/)
  await row(page, await ownId(page))
    .getByText('this page')
    .waitFor()
  t.is(await row(page, other.id).count(), 0)
  t.deepEqual(await accessibilityFaults(page), [])

  const later = await node.session('eve')
  await row(page, later.id).waitFor()
  t.is(await row(page, other.id).count(), 0)
})

test('an admin sees everybody’s, finds a user’s, and closes one: its token is refused, its query cancelled when asked', async t => {
  const ada = await node.session('ada')
  const bob = await node.session('bob')
  const { handle } = await node.submit(ada.token, { sql: endless, lane: 'light' })
  const page = await browser.open(t, { nodes: [node], path: '/sessions', theme: 'dark' })
  await signIn(page, 'admin')
  await row(page, ada.id).waitFor()
  await row(page, bob.id).waitFor()
  await page.getByRole('searchbox', { name: 'User' }).fill('AD')
  await row(page, bob.id).waitFor({ state: 'detached' })

  await row(page, ada.id).getByRole('button', { name: "Close ada's session" }).click()
  const dialog = page.getByRole('dialog', { name: "Close ada's session?" })
  await dialog.waitFor()
  t.deepEqual(await accessibilityFaults(page), [])
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'detached' })
  t.is((await node.call('GET', `/api/v1/sessions/${ada.id}`, { token: ada.token })).status, 200, 'no is no')

  await row(page, ada.id).getByRole('button', { name: "Close ada's session" }).click()
  await dialog.getByLabel('Cancel its unfinished queries').check()
  await dialog.getByRole('button', { name: 'Close session' }).click()
  await row(page, ada.id).waitFor({ state: 'detached' })
  t.is((await node.call('GET', `/api/v1/queries/${handle}`, { token: ada.token })).status, 401)
  const admin = await node.session('admin')
  t.is((await node.ended(admin.token, handle)).outcome, 'CANCELED')
})

test('who closes the session of the page is signed out of it', async t => {
  const page = await browser.open(t, { nodes: [node], path: '/sessions' })
  await signIn(page, 'leaving')
  const id = await ownId(page)
  await row(page, id)
    .getByRole('button', { name: /^Close/ })
    .click()
  await page.getByRole('dialog').getByRole('button', { name: 'Close and sign out' }).click()
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  const { token } = await node.session('admin')
  await until('it is gone', async () => (await node.call('GET', `/api/v1/sessions/${id}`, { token })).status === 404)
  t.is(await page.evaluate(() => sessionStorage.getItem('lens.session')), null)
})
