/** The Query page in a real browser: written, run, read, cancelled, downloaded, and looked up again. */
import { readFile } from 'node:fs/promises'
import test from 'ava'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { endless } from '../support/sleeping.ts'
import { accessibilityFaults, ended, run, signIn, testBrowser, until, write } from './support.ts'

const browser = testBrowser(test)
const cluster = new TestCluster(null)
let nodes: NodeProcess[] = []

test.before('start a node', async () => {
  nodes = await cluster.startAll(1)
})
test.after.always('stop it', () => cluster.stop())

test('a statement is run with Ctrl-Enter, and its rows are seen', async t => {
  const page = await browser.open(t, { nodes })
  await signIn(page, 'ada')
  const handle = await run(page, "select 42::int as answer, null as nothing, 'a' || 'b' as word")
  await ended(page, 'SUCCESSFUL')
  const row = page.getByRole('grid').getByRole('row').nth(1)
  await row.getByText('42').waitFor()
  t.deepEqual(await row.getByRole('gridcell').allInnerTexts(), ['42', 'NULL', 'ab'])
  t.is(await page.locator('[data-row-count]').getAttribute('data-row-count'), '1')
  // It is the query of the address, as every node knows it.
  const { token } = await (nodes[0] as NodeProcess).session('ada')
  t.like(await (nodes[0] as NodeProcess).query(token, handle), { outcome: 'SUCCESSFUL', user: 'ada' })
})

test('what is selected is run alone; all statements run one after another, each with rows of its own', async t => {
  const page = await browser.open(t, { nodes })
  await signIn(page, 'selective')
  await write(page, 'select 1 as one; select 2 as two;\nselect 3 as three')
  await page.getByRole('button', { name: 'Run all' }).click()
  await page.getByRole('navigation', { name: 'Statements of this run' }).getByRole('link', { name: '3' }).waitFor()
  await page.getByRole('columnheader', { name: 'three' }).waitFor()
  await page.getByRole('navigation', { name: 'Statements of this run' }).getByRole('link', { name: '2' }).click()
  await page.getByRole('columnheader', { name: 'two' }).waitFor()

  await page.getByRole('textbox', { name: 'SQL' }).click()
  await page.keyboard.press('ControlOrMeta+Home')
  for (let index = 0; index < 'select 1'.length; index++) await page.keyboard.press('Shift+ArrowRight')
  await page.keyboard.press('ControlOrMeta+Enter')
  await page.getByRole('columnheader', { name: '1' }).waitFor()
  t.is(await page.getByRole('gridcell').count(), 1)
})

test('a result of millions is scrolled from end to end: every row seen is the right one', async t => {
  const page = await browser.open(t, { nodes })
  await signIn(page, 'scroller')
  await run(page, 'select i, i * 2 as twice from range(2000000) t(i)')
  await ended(page, 'SUCCESSFUL')
  const grid = page.getByRole('grid')
  const numbers = async () => {
    const rows = await grid.locator('.grid-row').allInnerTexts()
    return rows.map(text => text.split('\n').map(part => part.trim()))
  }
  const isWhole = async (expected: number) => {
    const seen = await numbers()
    const there = seen.some(([number]) => Number(number) === expected)
    return (
      there && seen.every(([number, i, twice]) => Number(i) === Number(number) - 1 && Number(twice) === 2 * Number(i))
    )
  }
  await until('the first rows', () => isWhole(1))
  await grid.focus()
  await page.keyboard.press('ControlOrMeta+End')
  await until('the last rows', () => isWhole(2_000_000))
  t.true((await grid.locator('.grid-row').count()) < 100, 'only what is seen is in the document')

  // The scroll bar stands for the rows in proportion; the wheel and the keys still move by rows.
  await grid.evaluate(element => {
    element.scrollTop = (element.scrollHeight - element.clientHeight) / 2
  })
  await until('the middle', async () => {
    const [row] = await numbers()
    return row && Math.abs(Number(row[0]) - 1_000_000) < 2_000 && (await isWhole(Number(row[0])))
  })
  const before = Number((await numbers())[0]?.[0])
  await grid.hover()
  await page.mouse.wheel(0, 260)
  await until('ten rows further', async () => Number((await numbers())[0]?.[0]) === before + 10)
  await page.keyboard.press('ControlOrMeta+Home')
  await until('the first rows again', () => isWhole(1))
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('Shift+ArrowDown')
  t.is(await grid.locator('[aria-selected="true"]').count(), 2)
})

test('what is selected in the grid is copied as text with tabs', async t => {
  const page = await browser.open(t, { nodes })
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await signIn(page, 'copier')
  await run(page, "select i, case when i = 1 then null else 'x' || i end as word from range(3) t(i) order by i")
  await page.getByRole('gridcell', { name: 'x2' }).waitFor()
  await page.getByRole('gridcell', { name: 'x0' }).click()
  await page.getByRole('grid').focus()
  await page.keyboard.press('Shift+ArrowLeft')
  await page.keyboard.press('Shift+ArrowDown')
  await page.keyboard.press('ControlOrMeta+C')
  t.is(await page.evaluate(() => navigator.clipboard.readText()), '0\tx0\n1\t')
  await page.getByRole('button', { name: 'Copy address' }).click()
  await page.getByText('The address of this query is copied').waitFor()
  t.is(await page.evaluate(() => navigator.clipboard.readText()), page.url())
})

test('a query that waits says its place; it moves on when there is a slot', async t => {
  const narrow = new TestCluster(null, { LENS_ENGINES_DUCKDB_SLOTS_LIGHT: '1', LENS_ENGINES_DUCKDB_SLOTS_HEAVY: '1' })
  t.teardown(() => narrow.stop())
  const [node] = (await narrow.startAll(1)) as [NodeProcess]
  const { token } = await node.session('waiting')
  const blocking = await node.submit(token, { sql: endless, lane: 'light' })
  await until('the slot is taken', async () => (await node.query(token, blocking.handle)).status === 'RUNNING')
  const page = await browser.open(t, { nodes: [node] })
  await signIn(page, 'waiting')
  await page.getByLabel(/^Lane/).selectOption('light')
  await run(page, 'select 1 as one')
  await page.getByText('place 1 in the light lane').waitFor()
  t.is(await page.locator('[aria-current="step"]').getAttribute('data-step'), 'QUEUED')
  await node.call('DELETE', `/api/v1/queries/${blocking.handle}`, { token })
  await ended(page, 'SUCCESSFUL')
})

test('a running query is cancelled', async t => {
  const page = await browser.open(t, { nodes })
  await signIn(page, 'impatient')
  await run(page, endless)
  await page.locator('[data-step="RUNNING"][aria-current="step"]').waitFor()
  await page.getByRole('button', { name: 'Cancel query' }).click()
  await ended(page, 'CANCELED')
  t.is(await page.getByRole('button', { name: 'Cancel query' }).count(), 0)
})

test('an error is shown, and marked where the engine found it', async t => {
  const page = await browser.open(t, { nodes })
  await signIn(page, 'erring')
  await run(page, 'select 1;\nselect delay,\n  nope\nfrom flights')
  await ended(page, 'FAILED')
  await page.locator('[data-error="SQL_INVALID"]').getByText('nope').first().waitFor()
  t.is(await page.locator('.cm-lintRange-error').textContent(), 'nope')
})

test('a plan and an estimate are shown', async t => {
  const page = await browser.open(t, { nodes })
  await signIn(page, 'planner')
  await page.getByLabel(/^Operation/).selectOption('explain')
  await run(page, 'select count(*) from flights')
  await page.getByRole('region', { name: 'Plan' }).getByText('SCAN').first().waitFor()
  await page.getByLabel(/^Operation/).selectOption('estimate')
  await page.getByLabel('Mode').selectOption('sync')
  await run(page, 'select count(*) from flights where delay > 10')
  await page.getByText('Cost').waitFor()
  t.pass()
})

test('tables and columns are offered while one writes', async t => {
  const page = await browser.open(t, { nodes })
  await signIn(page, 'writer')
  await write(page, '')
  await page.keyboard.type('select * from fligh')
  // Not with a key: within the first instants of an offer the editor takes none, so that nobody accepts it by mistake.
  await page.getByRole('option', { name: /^flights/ }).click()
  await page.keyboard.type(' where dest')
  await page.getByRole('option', { name: /^destination/ }).waitFor()
  // Who runs it is done with writing.
  await page.keyboard.press('ControlOrMeta+Enter')
  await ended(page, 'FAILED')
  t.is(await page.getByRole('listbox').count(), 0)
})

test('parameters are bound, and what is no list is said', async t => {
  const page = await browser.open(t, { nodes })
  await signIn(page, 'binder')
  await page.getByLabel('Parameters').fill('LAX')
  await write(page, 'select ?::varchar as place')
  await page.getByRole('button', { name: 'Run', exact: true }).click()
  await page.getByRole('alert').getByText('a list in JSON is expected').waitFor()
  await page.getByLabel('Parameters').fill('["LAX"]')
  await run(page, 'select ?::varchar as place')
  await page.getByRole('gridcell', { name: 'LAX' }).waitFor()
  t.pass()
})

test('a result is downloaded as CSV, JSON lines and Arrow, and the token is in no address', async t => {
  const page = await browser.open(t, { nodes })
  const addresses: string[] = []
  page.on('request', request => addresses.push(request.url()))
  await signIn(page, 'collector')
  await run(page, 'select i from range(3) t(i) order by i')
  await ended(page, 'SUCCESSFUL')
  const download = async (title: string) => {
    const began = page.waitForEvent('download')
    await page.getByRole('button', { name: `Download as ${title}` }).click()
    return readFile(await (await began).path())
  }
  t.is((await download('CSV')).toString(), 'i\r\n0\r\n1\r\n2\r\n')
  t.is((await download('JSON lines')).toString().trim().split('\n').length, 3)
  t.true((await download('Arrow')).includes('i'))
  const token: string = await page.evaluate(() => JSON.parse(sessionStorage.getItem('lens.session') ?? '{}').token)
  t.true(token.length > 10)
  t.deepEqual(
    addresses.filter(address => address.includes(token)),
    [],
  )
})

test('the address of a query opens it for its owner and for admins, and for nobody else', async t => {
  const owner = await browser.open(t, { nodes })
  await signIn(owner, 'grace')
  const handle = await run(owner, "select 'of grace' as secret")
  await ended(owner, 'SUCCESSFUL')

  const again = await browser.open(t, { nodes, path: `/queries/${handle}` })
  await signIn(again, 'grace')
  await again.getByRole('gridcell', { name: 'of grace' }).waitFor()
  // It brings its text along.
  await again.getByRole('textbox', { name: 'SQL' }).getByText("'of grace'").waitFor()

  const admin = await browser.open(t, { nodes, path: `/queries/${handle}` })
  await signIn(admin, 'admin')
  await admin.getByRole('gridcell', { name: 'of grace' }).waitFor()

  const other = await browser.open(t, { nodes, path: `/queries/${handle}` })
  await signIn(other, 'mallory')
  await other.getByText('There is no such query').waitFor()
  t.false(((await other.locator('body').textContent()) ?? '').includes('of grace'))
})

test('the history is filtered, and paged', async t => {
  const page = await browser.open(t, { nodes, width: 1400 })
  await signIn(page, 'historian')
  const [node] = nodes as [NodeProcess]
  const { token } = await node.session('historian')
  for (let index = 0; index < 32; index++) await node.submit(token, { sql: `select ${index}`, name: `number ${index}` })
  const last = await node.submit(token, { sql: 'select nope', name: 'broken' })
  await node.ended(token, last.handle)
  const history = page.getByRole('complementary', { name: 'History' })
  await history.getByRole('button', { name: 'Refresh' }).click()
  await history.getByText('broken').waitFor()
  t.is(await history.getByRole('listitem').count(), 30)
  await history.getByRole('button', { name: 'Older queries' }).click()
  await until('all of them', async () => (await history.getByRole('listitem').count()) === 33)
  await history.getByLabel('Status').selectOption('failed')
  await until('the failed one', async () => (await history.getByRole('listitem').count()) === 1)
  await history.getByRole('link').click()
  await page.locator('[data-error="SQL_INVALID"]').waitFor()
  await history.getByLabel('Status').selectOption('any')
  await history.getByLabel('Name').fill('number 7')
  await until('the named one', async () => (await history.getByRole('listitem').count()) === 1)
})

for (const theme of ['dark', 'light'] as const) {
  test(`axe finds nothing serious, ${theme}`, async t => {
    for (const width of [1280, 360]) {
      const page = await browser.open(t, { nodes, theme, width })
      await page.getByLabel('User name').waitFor()
      t.deepEqual(await accessibilityFaults(page), [])
      await signIn(page, `axe-${theme}`)
      await run(page, 'select origin, delay, null as nothing from flights limit 50')
      await page.getByRole('gridcell').first().waitFor()
      t.deepEqual(await accessibilityFaults(page), [])
      await run(page, 'select nope from flights')
      await ended(page, 'FAILED')
      t.deepEqual(await accessibilityFaults(page), [])
      t.true(
        await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
        'nothing is wider than the window',
      )
    }
  })
}

test('a session that has ended leads back to the sign-in, with the address kept', async t => {
  const [node] = nodes as [NodeProcess]
  // Whichever comes first, the stream's word or the refusal of what the page asks just then.
  const page = await browser.open(t, { nodes, refusals: [{ status: 401 }] })
  await signIn(page, 'leaver')
  const handle = await run(page, 'select 5 as five')
  await ended(page, 'SUCCESSFUL')
  const { id, token } = await page.evaluate(() => JSON.parse(sessionStorage.getItem('lens.session') ?? '{}'))
  t.is((await node.call('DELETE', `/api/v1/sessions/${id}`, { token })).status, 204)
  await page.getByText('Your session has ended').waitFor()
  t.is(new URL(page.url()).pathname, `/queries/${handle}`)
  await signIn(page, 'leaver')
  await page.getByRole('gridcell', { name: '5' }).waitFor()
})

test('signing out closes the session on the server and leaves no token behind', async t => {
  const page = await browser.open(t, { nodes })
  await signIn(page, 'tidy')
  const { token } = await page.evaluate(() => JSON.parse(sessionStorage.getItem('lens.session') ?? '{}'))
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('User name').waitFor()
  t.is(await page.evaluate(() => sessionStorage.getItem('lens.session')), null)
  await until('the session is closed', async () => {
    const { status } = await (nodes[0] as NodeProcess).call('GET', '/api/v1/queries', { token })
    return status === 401
  })
})

test('the theme is switched, and remembered', async t => {
  const page = await browser.open(t, { nodes, theme: 'light' })
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
  const light = await background()
  await page.getByRole('button', { name: 'Theme: system' }).click()
  t.is(await background(), light)
  await page.getByRole('button', { name: 'Theme: light' }).click()
  const dark = await background()
  t.not(dark, light)
  await page.reload()
  await page.getByRole('button', { name: 'Theme: dark' }).waitFor()
  t.is(await background(), dark)
})
