/** The node that serves the page leaves, and others come: the page goes on, says what happened, and learns whom it may go on at. */
import test from 'ava'
import type { Page } from 'playwright-core'
import { TestCluster } from '../support/nodes.ts'
import { endless } from '../support/sleeping.ts'
import { accessibilityFaults, ended, run, signIn, testBrowser, until } from './support.ts'

const browser = testBrowser(test)

/** Waits until the page could go on at so many nodes, and has loaded what it would have to load from its own. */
async function hasMet(page: Page, count: number): Promise<void> {
  await until(`the page knows ${count} nodes`, async () => {
    const known: string[] = await page.evaluate(() => JSON.parse(sessionStorage.getItem('lens.nodes') ?? '[]'))
    return known.length === count
  })
  await page.locator('html[data-loaded="all"]').waitFor({ state: 'attached' })
}

test('an admin drains the very node that serves the page: it warns, goes on at another, says so, and the query is handed over', async t => {
  // A query that never ends is not waited for.
  const cluster = new TestCluster(null, { LENS_DRAIN_GRACE_MS: '1000' })
  t.teardown(() => cluster.stop())
  const nodes = await cluster.startAll(2)
  const [first, second] = nodes
  if (!first || !second) return t.fail()
  const page = await browser.open(t, { nodes })
  await signIn(page, 'admin')
  const handle = await run(page, endless)
  await hasMet(page, 2)
  await page.getByRole('link', { name: 'Cluster' }).click()
  await page.getByRole('button', { name: `Drain ${first.name}` }).click()
  const dialog = page.getByRole('dialog', { name: `Drain ${first.name}?` })
  await dialog.getByText('It serves this page').waitFor()
  await dialog.getByRole('button', { name: `Drain ${first.name}` }).click()

  t.deepEqual(await first.exited, { code: 0, signal: null })
  await page.locator(`[data-node="${first.name}"][data-state="left"]`).waitFor()
  const notice = page.getByRole('status').locator('[data-own-node="left"]')
  await notice
    .getByText(`${first.name}, which served this page, has left. The page goes on at ${second.name}`)
    .waitFor()
  const elsewhere = notice.getByRole('link')
  t.is(await elsewhere.getAttribute('href'), `${second.url}/cluster`)
  t.deepEqual(await accessibilityFaults(page), [])

  // What was under way goes on at the other node, and so does everything that the page does.
  const { token } = await second.session('admin')
  await until('the query is handed over', async () => {
    const { owner, status } = await second.query(token, handle)
    return owner.node === second.name && status === 'RUNNING'
  })
  await page.getByRole('link', { name: 'Query', exact: true }).click()
  await run(page, 'select 7 as seven')
  await ended(page, 'SUCCESSFUL')
  await page.getByRole('gridcell', { name: '7' }).waitFor()
  t.is(await page.getByText(second.port.toString()).count(), 1, 'who answers')
  t.is(await page.getByRole('alert').count(), 0)
  await second.call('DELETE', `/api/v1/queries/${handle}`, { token })
})

test('when no node is left the page says so, and goes on by itself when one is back', async t => {
  const cluster = new TestCluster(null)
  t.teardown(() => cluster.stop())
  const nodes = await cluster.startAll(1)
  const [only] = nodes
  if (!only) return t.fail()
  const page = await browser.open(t, { nodes })
  await signIn(page, 'ada')
  const handle = await run(page, 'select 5 as five')
  await ended(page, 'SUCCESSFUL')
  await hasMet(page, 1)
  await only.kill()
  await page.locator('[data-contact="lost"]').getByText('No node answers').waitFor()
  t.is(new URL(page.url()).pathname, `/queries/${handle}`)
  await page.getByRole('gridcell', { name: '5' }).waitFor()
  t.deepEqual(await accessibilityFaults(page), [])

  nodes.push(await (await cluster.start({ name: 'n1', port: only.port })).ready())
  await page.locator('[data-contact="lost"]').waitFor({ state: 'detached' })
  await run(page, 'select 6 as six')
  await ended(page, 'SUCCESSFUL')
  await page.getByRole('gridcell', { name: '6' }).waitFor()
})

test('a node that came after the page was loaded carries it on when all the earlier ones are dead', async t => {
  const cluster = new TestCluster(null)
  t.teardown(() => cluster.stop())
  const nodes = await cluster.startAll(2)
  const [first, second] = nodes
  if (!first || !second) return t.fail()
  const page = await browser.open(t, { nodes })
  await signIn(page, 'ada')
  await page.getByRole('textbox', { name: 'SQL' }).click()
  await page.keyboard.press('ControlOrMeta+A')
  await page.keyboard.insertText('select 8 as eight')
  await hasMet(page, 2)
  const third = await cluster.start({ name: 'n3' })
  nodes.push(third)
  await third.ready()
  await cluster.settled(3)
  await hasMet(page, 3)
  // Nothing of the page was lost by it.
  t.is(await page.evaluate(() => performance.getEntriesByType('navigation').length), 1)
  t.regex((await page.getByRole('textbox', { name: 'SQL' }).textContent()) ?? '', /select 8 as eight/)

  await Promise.all([first.kill(), second.kill()])
  await page.locator('[data-own-node="gone"]').waitFor()
  await page.keyboard.press('ControlOrMeta+Enter')
  await ended(page, 'SUCCESSFUL')
  await page.getByRole('gridcell', { name: '8' }).waitFor()
  t.is(await page.getByRole('alert').count(), 0)
})
