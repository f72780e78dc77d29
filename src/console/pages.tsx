/**
 * Which page an address means, and its code when it is needed. All pages are loaded soon after the sign-in, while nobody
 * waits: the node that serves them may be dead by the time that they are opened.
 */
import type { ComponentType } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { segmentsOf } from './routes.ts'
import { Empty, ErrorNote } from './ui/index.ts'

interface PageModule {
  readonly default: ComponentType
  /** Loads what the page itself loads late. */
  readonly warm?: () => Promise<unknown>
}

const names = ['query', 'machines', 'cluster', 'sessions'] as const
export type PageName = (typeof names)[number]

/** Each page is the default export of its folder's `index.tsx`. */
const loaders = import.meta.glob<PageModule>('./*/index.tsx')

const loaded = new Map<PageName, PageModule>()

/** Whether a page is part of this build. */
export function isBuilt(name: PageName): boolean {
  return `./${name}/index.tsx` in loaders
}

/** null for an address of no page. */
export function pageOf(path: string): PageName | null {
  const [first, , ...more] = segmentsOf(path)
  if (more.length > 0) return null
  if (first === undefined || first === 'queries') return 'query'
  return names.find(name => name === first && name !== 'query' && isBuilt(name)) ?? null
}

async function load(name: PageName): Promise<PageModule> {
  const read = loaders[`./${name}/index.tsx`]
  if (!read) throw new Error(`the page ${name} is not part of this build`)
  const module = loaded.get(name) ?? (await read())
  loaded.set(name, module)
  return module
}

/** Loads the code of all pages when the browser is idle; returns how to prevent it. */
export function warmPages(): () => void {
  const warm = async () => {
    // The pages first, which are small; then what they load late, of which the layout engine is by far the largest.
    const pages = await Promise.allSettled(names.filter(isBuilt).map(load))
    for (const page of pages) if (page.status === 'fulfilled') await page.value.warm?.().catch(() => {})
    if (pages.every(({ status }) => status === 'fulfilled')) document.documentElement.dataset.loaded = 'all'
  }
  // A page that could not be loaded is tried again when it is opened.
  const timer = setTimeout(() => void warm(), 1_500)
  return () => clearTimeout(timer)
}

export function PageOf({ page }: { readonly page: PageName | null }) {
  const [module, setModule] = useState<PageModule | null>(page ? (loaded.get(page) ?? null) : null)
  const [failure, setFailure] = useState<unknown>(null)
  const [attempt, setAttempt] = useState(0)
  useEffect(() => {
    if (page === null) return
    let left = false
    setFailure(null)
    load(page).then(
      found => left || setModule(found),
      error => left || setFailure(error),
    )
    return () => {
      left = true
    }
  }, [page, attempt])
  if (page === null) {
    return (
      <Empty title="There is no such page">
        <a href="/">Go to the query page</a>
      </Empty>
    )
  }
  if (failure !== null) {
    return (
      <div class="page">
        <ErrorNote error={failure} retry={() => setAttempt(attempt + 1)} />
      </div>
    )
  }
  if (!module) return <p class="loading">Loading…</p>
  const Content = module.default
  return <Content />
}
