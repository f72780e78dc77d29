/**
 * A real browser on the pages that real nodes serve. Whatever a page does wrong by the way fails the test that opened it: an
 * error in its console, an exception, a request to anybody but the cluster.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { ExecutionContext, TestFn } from 'ava'
import { type Browser, chromium, type Page } from 'playwright-core'
import { eventually } from '../support/conditions.ts'
import { builtConsole } from '../support/console-build.ts'
import type { NodeProcess } from '../support/nodes.ts'
import { requiredProgram } from '../support/packages.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Nothing that phones home, and no sandbox, which root may not have. */
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export interface OpenOptions {
  /** All nodes that the page may speak to; the first serves it. */
  readonly nodes: readonly Pick<NodeProcess, 'url' | 'running'>[]
  readonly path?: string
  readonly theme?: 'dark' | 'light'
  readonly width?: number
  readonly height?: number
  /** None unless asked for: tests wait for what is, not for how it comes. */
  readonly reducedMotion?: 'reduce' | 'no-preference'
  /** How far the browser's clock is ahead of everybody else's. */
  readonly clockAheadMs?: number
  /** What the page is to be refused, everywhere unless a path is given: the browser says so in its console, whatever the page makes of it. */
  readonly refusals?: readonly { readonly status: number; readonly path?: string }[]
}

export class TestBrowser {
  #browser: Browser | undefined

  async start(): Promise<void> {
    await builtConsole()
    const executablePath = await requiredProgram(['chromium', 'chromium-browser', 'google-chrome'], 'chromium')
    this.#browser = await chromium.launch({ executablePath, args: flags, headless: true })
  }

  async stop(): Promise<void> {
    await this.#browser?.close()
  }

  /** A page of a browser that nobody has used before; it is watched until the test ends. */
  async open(t: ExecutionContext, options: OpenOptions): Promise<Page> {
    const {
      nodes,
      path = '/',
      theme = 'light',
      width = 1280,
      height = 900,
      clockAheadMs = 0,
      reducedMotion = 'reduce',
      refusals = [],
    } = options
    const [first] = nodes
    if (!this.#browser || !first) throw new Error('the browser was not started, or no node was given')
    const context = await this.#browser.newContext({
      viewport: { width, height },
      colorScheme: theme,
      acceptDownloads: true,
      reducedMotion,
    })
    if (clockAheadMs !== 0)
      await context.addInitScript(aheadMs => {
        const now = Date.now
        Date.now = () => now() + aheadMs
      }, clockAheadMs)
    const faults: string[] = []
    const page = await context.newPage()
    page.setDefaultTimeout(30_000)
    // Said of a node that a test killed: the page has to ask once to find that out.
    const isOfDead = (url: string) => nodes.some(node => !node.running && hostOf(url) === hostOf(node.url))
    page.on('pageerror', error => faults.push(`exception: ${error.stack ?? error.message}`))
    page.on('console', message => {
      const { url } = message.location()
      const text = message.text()
      const isOfDeadSocket = nodes.some(node => !node.running && text.includes(hostOf(node.url)))
      // What the browser says when a page is left, or lets go of what it subscribed to, in the very moment of connecting.
      const isLetGo = text.includes('WebSocket is closed before the connection is established')
      const isToBeRefused = refusals.some(
        ({ status, path }) =>
          text.includes(`status of ${status}`) && (path === undefined || URL.parse(url)?.pathname === path),
      )
      const isExpected = isOfDead(url) || isOfDeadSocket || isLetGo || isToBeRefused
      if (['error', 'warning'].includes(message.type()) && !isExpected) faults.push(`console: ${text} (${url})`)
    })
    const watched = (url: string) => {
      if (/^(data|blob):/.test(url)) return
      if (!nodes.some(node => hostOf(node.url) === hostOf(url))) faults.push(`a request to elsewhere: ${url}`)
    }
    page.on('request', request => watched(request.url()))
    page.on('websocket', socket => watched(socket.url()))
    t.teardown(async () => {
      await context.close()
      if (faults.length > 0) throw new Error(`the page did wrong:\n${faults.join('\n')}`)
    })
    await page.goto(`${first.url}${path}`)
    return page
  }
}

/** Call once at the top of a file. */
export function testBrowser(test: TestFn): TestBrowser {
  const browser = new TestBrowser()
  test.before('start the browser', () => browser.start())
  test.after.always('stop the browser', () => browser.stop())
  return browser
}

export async function signIn(page: Page, user: string): Promise<void> {
  await page.getByLabel('User name').fill(user)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('button', { name: 'Sign out' }).waitFor()
}

/** Writes a statement over what the editor holds. */
export async function write(page: Page, sql: string): Promise<void> {
  const editor = page.getByRole('textbox', { name: 'SQL' })
  await editor.click()
  await page.keyboard.press('ControlOrMeta+A')
  await page.keyboard.insertText(sql)
}

/** Writes and runs a statement; gives the handle of its query. */
export async function run(page: Page, sql: string): Promise<string> {
  const before = page.url()
  await write(page, sql)
  await page.keyboard.press('ControlOrMeta+Enter')
  await page.waitForURL(url => url.pathname.startsWith('/queries/') && url.href !== before)
  return new URL(page.url()).pathname.split('/')[2] as string
}

/** Waits until the page shows that the query ended so. */
export async function ended(
  page: Page,
  outcome: 'SUCCESSFUL' | 'FAILED' | 'CANCELED',
  timeout = 60_000,
): Promise<void> {
  await page.locator(`[data-step="END"][data-outcome="${outcome}"]`).waitFor({ timeout })
}

/** What axe finds that hinders people seriously; an empty list where nothing does. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  // Given to the page by the debugger, so that its content security policy may stay as strict as it is.
  await page.evaluate(axe)
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(options: object): Promise<{
          violations: {
            id: string
            impact: string
            help: string
            nodes: { target: unknown; failureSummary: string }[]
          }[]
        }>
      }
    }
    const { violations } = await axe.run({ resultTypes: ['violations'] })
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, help, nodes }) =>
        nodes.map(node => `${id}: ${help}: ${JSON.stringify(node.target)}: ${node.failureSummary}`),
      )
  })
}

/** Waits for a condition of the page that has no element of its own. */
export function until<T>(what: string, ask: () => Promise<T>): Promise<NonNullable<T>> {
  return eventually(ask, Boolean, { what, withinMs: 60_000 }) as Promise<NonNullable<T>>
}

function hostOf(url: string): string {
  return new URL(url).host
}
