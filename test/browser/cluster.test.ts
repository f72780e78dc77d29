/** The Cluster page in a real browser: three nodes are seen at work, one is killed in sight, one is drained from the page. */
import test from 'ava'
import type { Page } from 'playwright-core'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { endless } from '../support/sleeping.ts'
import { accessibilityFaults, ended, run, signIn, testBrowser, until } from './support.ts'

const browser = testBrowser(test)

const card = (page: Page, { name }: NodeProcess, state = 'alive') =>
  page.locator(`[data-node="${name}"][data-state="${state}"]`)

test('nodes, leader, leases and load are seen; a killed node, what others took over from it, and how long that took', async t => {
  const cluster = new TestCluster(null)
  t.teardown(() => cluster.stop())
  const nodes = (await cluster.startAll(3)) as [NodeProcess, NodeProcess, NodeProcess]
  const [first, , third] = nodes
  const page = await browser.open(t, { nodes, path: '/cluster' })
  await signIn(page, 'ada')
  t.is(new URL(page.url()).pathname, '/cluster', 'the address is kept')
  for (const node of nodes) await card(page, node).waitFor()

  const { token } = await first.session('ada')
  const { body } = await first.call('GET', '/api/v1/cluster', { token })
  const leader = nodes.find(({ name }) => name === body.leader.node) as NodeProcess
  await card(page, leader).getByText(`leader, term ${body.leader.term}`).waitFor()
  t.is(await page.locator('[data-leader]').count(), 1)
  t.is(await page.getByRole('button', { name: /^Drain/ }).count(), 0, 'only admins drain')

  // A lease runs down and is renewed: both are seen.
  const lease = page.getByRole('meter', { name: `Lease of ${third.name}` })
  const seen: number[] = []
  await until('the lease falls and rises', async () => {
    seen.push(Number(await lease.getAttribute('aria-valuenow')))
    const moves = seen.slice(1).map((value, index) => value - (seen[index] as number))
    return moves.some(move => move < 0) && moves.some(move => move > 0)
  })

  const { handle } = await third.submit(token, { sql: endless, lane: 'light', onRecovery: 'rerun' })
  await card(page, third).locator('[data-running="1"]').waitFor()
  await until('the chart has a line', () => drawn(page, third.name))
  t.deepEqual(await accessibilityFaults(page), [])

  await third.kill()
  await card(page, third, 'dead').waitFor()
  const change = page.locator(`[data-change="takeover"][data-from="${third.name}"]`)
  await change.getByText('1 query').waitFor()
  t.is(await change.getByRole('link').getAttribute('href'), `/queries/${handle}`)
  const failovers = page.getByRole('table', { name: /^Failovers/ })
  // The newest is first. On a busy machine, with the browser beside it, a lease on SQLite can have run out before.
  const row = failovers.getByRole('row').filter({ hasText: third.name }).first()
  await until('the failover is done, and shown as it is recorded', async () => {
    const { failovers: recorded } = (await first.call('GET', '/api/v1/cluster/failovers', { token })).body
    const newest = recorded.find(({ node }: { node: string }) => node === third.name)
    const cells = await row.getByRole('cell').allInnerTexts()
    return newest?.queries === 1 && /\d (ms|s)/.test(cells[3] ?? '') && cells.at(-1) === String(newest.queries)
  })
  await page.locator('[data-alive="2"]').waitFor()
  await first.call('POST', `/api/v1/queries/${handle}/cancel`, { token })
  t.deepEqual(await accessibilityFaults(page), [])
})

test('an admin drains a node from the page, after a question; it leaves, its process ends, and nobody calls it dead', async t => {
  // That nobody is called dead: on a cold and busy disk a lease of two seconds on SQLite can run out.
  const cluster = new TestCluster(null, { LENS_LEASE_MS: '20000' })
  t.teardown(() => cluster.stop())
  const nodes = (await cluster.startAll(2)) as [NodeProcess, NodeProcess]
  const [, second] = nodes
  const page = await browser.open(t, { nodes, path: '/cluster', theme: 'dark' })
  await signIn(page, 'admin')
  const drain = page.getByRole('button', { name: `Drain ${second.name}` })
  await drain.click()
  const dialog = page.getByRole('dialog', { name: `Drain ${second.name}?` })
  await dialog.waitFor()
  t.deepEqual(await accessibilityFaults(page), [])
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'detached' })
  const { token } = await second.session('admin')
  const { body } = await second.call('GET', '/api/v1/cluster', { token })
  t.deepEqual(
    body.nodes.map(({ state }: { state: string }) => state),
    ['alive', 'alive'],
    'who says no drains nothing',
  )

  await drain.click()
  await dialog.getByRole('button', { name: `Drain ${second.name}` }).click()
  await card(page, second, 'left').waitFor()
  t.deepEqual(await second.exited, { code: 0, signal: null })
  await page.locator('[data-alive="1"]').waitFor()
  t.is(await page.getByText('No node has died').count(), 1)
  t.deepEqual(await accessibilityFaults(page), [])
})

for (const [what, clockAheadMs] of [
  ['an hour ahead', 3_600_000],
  ['an hour behind', -3_600_000],
] as const) {
  test(`leases, sessions and queries are told rightly by a browser whose clock is ${what}`, async t => {
    const cluster = new TestCluster(null, { LENS_SESSIONS_IDLE_MS: '3600000' })
    t.teardown(() => cluster.stop())
    const nodes = (await cluster.startAll(1)) as [NodeProcess]
    const page = await browser.open(t, { nodes, path: '/cluster', clockAheadMs })
    await signIn(page, 'ada')
    const lease = page.getByRole('meter', { name: 'Lease of n1' })
    const seen: number[] = []
    await until('the lease falls and rises', async () => {
      seen.push(Number.parseFloat((await lease.getAttribute('aria-valuetext')) ?? ''))
      const moves = seen.slice(1).map((value, index) => value - (seen[index] as number))
      return moves.some(move => move < 0) && moves.some(move => move > 0)
    })
    t.true(Math.max(...seen) > 0 && Math.max(...seen) < 10, `${seen} s left of a lease`)

    // It expires in an hour if it is not used: told as an hour, give or take what a busy machine takes.
    await page.getByRole('link', { name: 'Sessions' }).click()
    t.regex((await page.locator('.expiry').textContent()) ?? '', /^in (1 h 0 min|5\d min)/)
    await page.getByRole('link', { name: 'Query', exact: true }).click()
    await run(page, endless)
    await page
      .locator('.ownership')
      .getByText(/^([1-9]\d* ms|\d\d?\.\d s) so far$/)
      .waitFor()
    await page.getByRole('button', { name: 'Cancel' }).click()
    await ended(page, 'CANCELED')
  })
}

test('at 360 pixels nothing is wider than the page', async t => {
  const cluster = new TestCluster(null)
  t.teardown(() => cluster.stop())
  const nodes = (await cluster.startAll(1)) as [NodeProcess]
  await nodes[0].session('ada', {
    properties: { 'source.password': 'hunter2', 'source.url': `file://${'long/'.repeat(40)}` },
  })
  const page = await browser.open(t, { nodes, path: '/cluster', width: 360, height: 740 })
  await signIn(page, 'admin')
  await until('the chart has a line', () => drawn(page, 'n1'))
  for (const path of ['/cluster', '/sessions']) {
    await page.locator(`nav a[href="${path}"]`).click()
    await page
      .getByRole('heading', { level: 1 })
      .filter({ hasText: new RegExp(path.slice(1), 'i') })
      .waitFor()
    await page.locator('.loading').waitFor({ state: 'detached' })
    if (path === '/sessions') await page.getByText('2 properties').click()
    t.deepEqual(await scrollingSideways(page), [], path)
    t.true(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), path)
    t.deepEqual(await accessibilityFaults(page), [])
  }
})

/** What holds more than can be seen of it without being moved to the side. */
function scrollingSideways(page: Page): Promise<string[]> {
  return page.locator('body *').evaluateAll(all =>
    all
      .filter(one => one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1)
      .filter(one => ['auto', 'scroll'].includes(getComputedStyle(one).overflowX))
      .map(one => `${one.className}: ${one.scrollWidth} in ${one.clientWidth}`),
  )
}

/** Whether the node's canvas has pixels of the colour of the running. */
function drawn(page: Page, node: string): Promise<boolean> {
  return page.locator(`[data-node="${node}"] .load`).evaluate(figure => {
    const legend = figure.querySelector('.load-running')
    const canvas = figure.querySelector('canvas')
    // A copy: reading the page's own canvas would change how the browser draws it.
    const drawing = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
    if (!legend || !canvas || !drawing || canvas.width === 0) return false
    const [red, green, blue] = (getComputedStyle(legend).color.match(/\d+/g) ?? []).map(Number)
    drawing.canvas.width = canvas.width
    drawing.canvas.height = canvas.height
    drawing.drawImage(canvas, 0, 0)
    const { data } = drawing.getImageData(0, 0, canvas.width, canvas.height)
    for (let index = 0; index < data.length; index += 4)
      if (data[index] === red && data[index + 1] === green && data[index + 2] === blue && data[index + 3] === 255)
        return true
    return false
  })
}
