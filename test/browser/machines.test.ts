/** The Machines page in a real browser: charts that move, moments of the past, lanes of nodes, and who may see them. */
import test from 'ava'
import type { Page } from 'playwright-core'
import { longStatement } from '../support/flights.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { endless } from '../support/sleeping.ts'
import { accessibilityFaults, signIn, testBrowser, until } from './support.ts'

const browser = testBrowser(test)
const mysql = mysqlDatabases(test)
// One slot of each lane: a query waits for as long as a test wants it to.
const cluster = new TestCluster(null, {
  LENS_ENGINES_DUCKDB_SLOTS_LIGHT: '1',
  LENS_ENGINES_DUCKDB_SLOTS_HEAVY: '1',
})
let nodes: NodeProcess[] = []
let node: NodeProcess

test.before('start a node', async () => {
  nodes = await cluster.startAll(1)
  node = nodes[0] as NodeProcess
})
test.after.always('stop it', () => cluster.stop())

const state = (page: Page, path: string) => page.locator(`[data-state="${path}"]`)
const isIn = (page: Page, path: string) => page.locator(`[data-state="${path}"][aria-current="true"]`).waitFor()
const active = (page: Page) =>
  page.locator('[data-state][aria-current="true"]').evaluateAll(all => all.map(one => one.getAttribute('data-state')))

const taken = (page: Page) =>
  page.locator('[data-arrow].taken').evaluateAll(all => all.map(one => one.getAttribute('data-arrow')))

/** Opens an address of the page as this user. */
async function open(page: Page, user: string, path: string): Promise<void> {
  await signIn(page, user)
  await page.goto(new URL(path, page.url()).href)
}

test.serial(
  'the chart of a query moves as it runs: every state is lit in turn, and the transition just taken',
  async t => {
    const { token } = await node.session('mover')
    const blocking = await node.submit(token, { sql: endless, lane: 'light' })
    await until('the slot is taken', async () => (await node.query(token, blocking.handle)).status === 'RUNNING')
    const { handle } = await node.submit(token, { sql: 'select 1', lane: 'light' })
    const page = await browser.open(t, { nodes })
    await open(page, 'mover', `/machines/${handle}`)
    await isIn(page, 'QUEUED')
    await page.evaluate(() => {
      const seen: string[] = []
      Object.assign(globalThis, { seen })
      const note = () => {
        const path = document.querySelector('[data-state][aria-current="true"]')?.getAttribute('data-state')
        if (path && seen.at(-1) !== path) seen.push(path)
      }
      note()
      new MutationObserver(note).observe(document.body, {
        subtree: true,
        attributes: true,
        attributeFilter: ['aria-current'],
      })
    })
    await node.call('DELETE', `/api/v1/queries/${blocking.handle}`, { token })
    await isIn(page, 'SUCCESSFUL')
    const seen = await page.evaluate(() => (globalThis as unknown as { seen: string[] }).seen)
    t.deepEqual(seen, ['QUEUED', 'LAUNCHED', 'RUNNING', 'EXECUTED', 'SUCCESSFUL'])
    await page.locator('[data-arrow="EXECUTED→SUCCESSFUL"].taken').waitFor()
    t.is(await page.locator('[data-arrow].taken').count(), 1)
  },
)

test.serial('a running query is in a nested state; its cancellation is seen as it happens', async t => {
  const { token } = await node.session('nested')
  const { handle } = await node.submit(token, { sql: endless, lane: 'light' })
  const page = await browser.open(t, { nodes })
  await open(page, 'nested', `/machines/${handle}`)
  await isIn(page, 'RUNNING.following')
  t.deepEqual(await active(page), ['RUNNING', 'RUNNING.following'])
  await node.call('DELETE', `/api/v1/queries/${handle}`, { token })
  await isIn(page, 'CANCELED')
  await page.locator('[data-arrow="RUNNING.stopping→CANCELED"].taken').waitFor()
  t.deepEqual(await active(page), ['CANCELED'])
})

test.serial('any past moment is replayed with the slider, by keys, with the value and context of then', async t => {
  const { token } = await node.session('historian')
  const { handle } = await node.submit(token, { sql: 'select 1 union all select 2' })
  const { version } = await node.ended(token, handle)
  const page = await browser.open(t, { nodes })
  await open(page, 'historian', `/machines/${handle}`)
  await isIn(page, 'SUCCESSFUL')
  const context = (name: string) => page.locator(`[data-context="${name}"] dd`).textContent()
  const at = (moment: number) => page.locator(`[data-moment="${moment}"]`).waitFor()
  await at(version)
  t.is(await context('rowCount'), '2')
  const slider = page.getByRole('slider', { name: 'Version' })
  await slider.focus()
  await page.keyboard.press('Home')
  await isIn(page, 'QUEUED')
  await at(1)
  t.is(await context('rowCount'), '–')
  t.is(await context('version'), '1')
  t.deepEqual(await active(page), ['QUEUED'])
  t.deepEqual(await taken(page), ['NEW→QUEUED'])
  await page.keyboard.press('ArrowRight')
  await at(2)
  await page.locator('.chart-inner.taken').waitFor()
  t.deepEqual(await taken(page), [])
  t.regex((await slider.getAttribute('aria-valuetext')) ?? '', /^Version 2 of \d+: ESTIMATED on n1/)
  await page.locator('[data-event="STARTED"] button').click()
  await isIn(page, 'RUNNING.following')
  await page.getByRole('button', { name: 'Step back' }).click()
  await isIn(page, 'LAUNCHED.submitting')
  await page.getByRole('button', { name: 'To the last step' }).click()
  await isIn(page, 'SUCCESSFUL')
  t.is(await slider.inputValue(), String(version))
  await page.getByRole('button', { name: 'Play' }).click()
  await isIn(page, 'QUEUED')
  await isIn(page, 'SUCCESSFUL')
  await page.getByRole('button', { name: 'Play' }).waitFor()
})

test.serial('at no moment is an arrow lit that does not lead to where the machine is, live or replayed', async t => {
  const { token } = await node.session('watcher')
  const page = await browser.open(t, { nodes, reducedMotion: 'no-preference' })
  await signIn(page, 'watcher')
  for (let round = 0; round < 2; round++) {
    const blocking = await node.submit(token, { sql: endless, lane: 'light' })
    await until('the slot is taken', async () => (await node.query(token, blocking.handle)).status === 'RUNNING')
    const { handle } = await node.submit(token, { sql: 'select 1', lane: 'light' })
    await page.goto(new URL(`/machines/${handle}`, page.url()).href)
    await isIn(page, 'QUEUED')
    await page.evaluate(() => {
      const pictures: { active: (string | null)[]; taken: (string | null)[]; blue: (string | null)[] }[] = []
      Object.assign(globalThis, { pictures })
      const named = (selector: string, name: string) =>
        [...document.querySelectorAll(selector)].map(one => one.getAttribute(name))
      const plain = getComputedStyle(document.querySelector('[data-arrow]:not(.taken) .chart-line') as Element).stroke
      // What is drawn, not only what it is called: in every frame, as a colour may lag behind.
      const look = () => {
        const lit = [...document.querySelectorAll('[data-arrow]')].filter(
          arrow => getComputedStyle(arrow.querySelector('.chart-line') as Element).stroke !== plain,
        )
        pictures.push({
          active: named('[data-state][aria-current="true"]', 'data-state'),
          taken: named('[data-arrow].taken', 'data-arrow'),
          blue: lit.map(arrow => arrow.getAttribute('data-arrow')),
        })
        requestAnimationFrame(look)
      }
      look()
    })
    await node.call('DELETE', `/api/v1/queries/${blocking.handle}`, { token })
    await isIn(page, 'SUCCESSFUL')
    await page.locator('[data-arrow="EXECUTED→SUCCESSFUL"].taken').waitFor()
    await page.getByRole('button', { name: 'Play' }).click()
    await isIn(page, 'QUEUED')
    await isIn(page, 'SUCCESSFUL')
    await page.getByRole('button', { name: 'Play' }).waitFor()
    const pictures = await page.evaluate(
      () => (globalThis as unknown as { pictures: Record<'active' | 'taken' | 'blue', string[]>[] }).pictures,
    )
    const lit = new Set(pictures.flatMap(({ taken }) => taken))
    t.true(lit.size >= 4, [...lit].join())
    for (const picture of pictures) {
      t.deepEqual(picture.blue, picture.taken)
      for (const arrow of picture.taken)
        t.true(picture.active.includes(arrow.split('→')[1] ?? ''), JSON.stringify(picture))
    }
  }
})

test.serial('the chart of all says how many are in each state, and goes on saying it', async t => {
  const { token } = await node.session('counter')
  const page = await browser.open(t, { nodes })
  await open(page, 'counter', '/machines')
  await page.getByText('0 unfinished queries of yours').waitFor()
  const running = await node.submit(token, { sql: endless, lane: 'light' })
  await page.locator('[data-state="RUNNING"][data-count="1"]').waitFor()
  const waiting = await node.submit(token, { sql: endless, lane: 'light' })
  await page.locator('[data-state="QUEUED"][data-count="1"]').waitFor()
  await page.getByText('2 unfinished queries of yours').waitFor()
  for (const { handle } of [waiting, running]) await node.call('DELETE', `/api/v1/queries/${handle}`, { token })
  await page.getByText('0 unfinished queries of yours').waitFor()
  t.is(await page.locator('[data-count]').count(), 0)
  await page.getByRole('tab', { name: 'Queries' }).focus()
  await page.keyboard.press('ArrowRight')
  await page.locator('[data-state="OPEN"][data-count="2"]').waitFor()
  await page.getByRole('complementary', { name: 'Machines' }).getByRole('link').first().click()
  await page.getByRole('heading', { name: 'Machine of a session' }).waitFor()
  await isIn(page, 'OPEN')
  t.is(await page.locator('[data-context="user"] dd').textContent(), 'counter')
})

test.serial("another user's machine is not to be seen, nor one that is none", async t => {
  const { token } = await node.session('owner')
  const { handle } = await node.submit(token, { sql: 'select 1' })
  await node.ended(token, handle)
  const page = await browser.open(t, { nodes })
  await open(page, 'curious', `/machines/${handle}`)
  await page.getByText('There is no such machine').waitFor()
  t.is(await page.locator('[data-state], [data-moment], [data-version]').count(), 0)
  await page.goto(new URL('/machines/nonsense', page.url()).href)
  await page.getByText('There is no such machine').waitFor()
})

test.serial("another user's session is not to be seen either; its user and admins see its machine", async t => {
  const { id } = await node.session('owner', { database: 'hers', properties: { zone: 'utc' } })
  const page = await browser.open(t, { nodes, refusals: [{ status: 404, path: `/api/v1/sessions/${id}/machine` }] })
  await open(page, 'curious', `/machines/${id}`)
  await page.getByRole('heading', { name: 'Machine of a session' }).waitFor()
  await page.getByText('There is no such machine').waitFor()
  t.is(await page.locator('[data-state], [data-context], [data-moment]').count(), 0)
  t.notRegex(await page.content(), /hers|utc/)
  for (const user of ['owner', 'admin']) {
    const seeing = await browser.open(t, { nodes })
    await open(seeing, user, `/machines/${id}`)
    await isIn(seeing, 'OPEN')
    t.is(await seeing.locator('[data-context="user"] dd').textContent(), 'owner', user)
    t.is(await seeing.locator('[data-context="database"] dd').textContent(), 'hers', user)
  }
})

test.serial('a session moves in sight, and any moment of its past is replayed, without its secrets', async t => {
  const { id, token } = await node.session('settler', { properties: { zone: 'utc', 'api-key': 'hunter2' } })
  const page = await browser.open(t, { nodes })
  await open(page, 'settler', `/machines/${id}`)
  await isIn(page, 'OPEN')
  await page.locator('[data-moment="1"]').waitFor()
  await node.call('PATCH', `/api/v1/sessions/${id}`, { token, body: { properties: { zone: 'cet' } } })
  await page.locator('[data-moment="2"]').waitFor()
  const properties = page.locator('[data-context="properties"] dd')
  t.regex((await properties.textContent()) ?? '', /cet/)
  await page.getByRole('button', { name: 'Step back' }).click()
  await page.locator('[data-moment="1"]').waitFor()
  t.regex((await properties.textContent()) ?? '', /utc/)
  t.notRegex(await page.content(), /hunter/)
  // It stays there when the session moves on.
  await node.call('PATCH', `/api/v1/sessions/${id}`, { token, body: { properties: { zone: 'est' } } })
  await page.getByText('1 of 3').waitFor()
  t.regex((await properties.textContent()) ?? '', /utc/)
  await page.getByRole('button', { name: 'Back to live' }).click()
  await page.locator('[data-moment="3"]').waitFor()
  t.regex((await properties.textContent()) ?? '', /est/)
  t.deepEqual(await accessibilityFaults(page), [])
})

test.serial('the chart is moved and zoomed with keys, wheel and buttons', async t => {
  const page = await browser.open(t, { nodes })
  await open(page, 'mover', '/machines')
  await state(page, 'NEW').waitFor()
  const box = async () => {
    const found = await state(page, 'QUEUED').boundingBox()
    if (!found) throw new Error('it is not drawn')
    return found
  }
  const chart = page.getByRole('group', { name: 'Statechart of queries' })
  await chart.focus()
  await chart.locator('> g:not([transform="translate(0 0) scale(1)"])').waitFor()
  const before = await box()
  await page.keyboard.press('ArrowDown')
  await until('it has moved', async () => Math.round(before.y - (await box()).y) === 60)
  await page.keyboard.press('+')
  await until('it is larger', async () => (await box()).width > before.width * 1.15)
  await page.keyboard.press('0')
  const frame = await chart.boundingBox()
  await until('all of it is seen', async () => {
    const last = await state(page, 'CLOSED').boundingBox()
    return frame && last && last.y + last.height <= frame.y + frame.height && (await box()).y >= frame.y
  })
  const fitted = await box()
  await chart.hover()
  await page.mouse.wheel(30, 50)
  await until('the wheel moves it', async () => Math.round(fitted.y - (await box()).y) === 50)
  await page.getByRole('button', { name: 'Larger' }).click()
  t.true(await until('the button enlarges it', async () => (await box()).width > fitted.width * 1.2))
})

for (const theme of ['dark', 'light'] as const) {
  test.serial(`axe finds nothing serious, ${theme}`, async t => {
    const { token } = await node.session(`axe-${theme}`)
    const { handle } = await node.submit(token, { sql: 'select nope' })
    await node.ended(token, handle)
    for (const width of [1280, 360]) {
      const page = await browser.open(t, { nodes, theme, width })
      await open(page, `axe-${theme}`, '/machines')
      await state(page, 'CLOSED').waitFor()
      t.deepEqual(await accessibilityFaults(page), [])
      await page.goto(new URL(`/machines/${handle}`, page.url()).href)
      await isIn(page, 'FAILED')
      await page.locator('[data-moment]').waitFor()
      t.deepEqual(await accessibilityFaults(page), [])
      t.true(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider')
      // What is active can be seen, however small the window is.
      const frame = await page.locator('.chart-frame').boundingBox()
      const place = await state(page, 'FAILED').boundingBox()
      t.true(!!frame && !!place && place.x >= frame.x && place.x + place.width <= frame.x + frame.width)
    }
  })
}

test.serial('a takeover is a change of lane, and the page goes on although it was its own node that died', async t => {
  const three = new TestCluster(await mysql.create(t))
  t.teardown(() => three.stop())
  const members = await three.startAll(3)
  const [first] = members as [NodeProcess]
  const { token } = await first.session('ada')
  const { handle } = await first.submit(token, { sql: longStatement(300) })
  const page = await browser.open(t, { nodes: members })
  await open(page, 'ada', `/machines/${handle}`)
  await isIn(page, 'RUNNING.following')
  t.is(await page.locator('[data-lane-node]').count(), 1)
  await until('the page knows the other nodes', async () => {
    const known: string[] = await page.evaluate(() => JSON.parse(sessionStorage.getItem('lens.nodes') ?? '[]'))
    return known.length === 3
  })
  await first.kill()
  const takeover = page.locator(`[data-took-from="${first.name}"]`)
  await takeover.waitFor()
  t.is(await takeover.getAttribute('data-event'), 'CLAIMED')
  t.is(await takeover.getAttribute('data-lane'), '1')
  const heir = await takeover.getAttribute('data-node')
  t.not(heir, first.name)
  t.deepEqual(
    await page.locator('[data-lane-node]').evaluateAll(all => all.map(one => one.getAttribute('data-lane-node'))),
    [first.name, heir],
  )
  await isIn(page, 'SUCCESSFUL')
  await takeover.getByRole('button').click()
  await page.getByText('In every state').and(page.locator('.taken')).waitFor()
  t.regex((await page.locator('[data-context="owner"] dd').textContent()) ?? '', new RegExp(`"${heir}"`))
})
