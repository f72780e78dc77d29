/** The node that serves the page is killed: the page goes on at another one, with what it was showing. */
import test from 'ava'
import { longStatement } from '../support/flights.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { TestCluster } from '../support/nodes.ts'
import { ended, run, signIn, testBrowser, until } from './support.ts'

const browser = testBrowser(test)
const mysql = mysqlDatabases(test)

test('a page whose node is killed goes on at another one: the query is taken over in sight, ends, and others are run', async t => {
  const cluster = new TestCluster(await mysql.create(t))
  t.teardown(() => cluster.stop())
  const nodes = await cluster.startAll(3)
  const [first] = nodes
  if (!first) return t.fail()
  const page = await browser.open(t, { nodes })
  await signIn(page, 'ada')
  // Six seconds, safe to repeat.
  const handle = await run(page, longStatement(300))
  await page.locator('[data-step="RUNNING"][aria-current="step"]').waitFor()
  const { token } = await first.session('ada')
  t.is((await first.query(token, handle)).owner.node, first.name)
  await until('the page knows the other nodes', async () => {
    const known: string[] = await page.evaluate(() => JSON.parse(sessionStorage.getItem('lens.nodes') ?? '[]'))
    return known.length === 3
  })
  // Code that the page does not have yet could come from nowhere else.
  await page.locator('html[data-loaded="all"]').waitFor({ state: 'attached' })
  await first.kill()
  await page.locator('[data-takeover]').waitFor()
  t.regex((await page.locator('[data-takeover]').textContent()) ?? '', new RegExp(`took over from ${first.name}`))
  t.not(await page.locator('[data-owner]').getAttribute('data-owner'), first.name)
  await ended(page, 'SUCCESSFUL')
  await page.getByRole('gridcell').first().waitFor()

  // What was not loaded before the death works too, and the session is the same.
  await run(page, 'select 7 as seven')
  await ended(page, 'SUCCESSFUL')
  await page.getByRole('gridcell', { name: '7' }).waitFor()
  const links = page.getByRole('navigation', { name: 'Pages' }).getByRole('link')
  for (const link of (await links.all()).reverse()) {
    const title = (await link.textContent()) ?? ''
    await link.click()
    await page.getByRole('heading', { level: 1, name: new RegExp(title, 'i') }).waitFor()
  }
  t.is(await page.getByRole('alert').count(), 0)
})
