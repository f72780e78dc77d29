/** The frame around all pages: who is signed in, where to go, and what to show when a page breaks. */
import { useEffect, useErrorBoundary } from 'preact/hooks'
import { currentNode } from './answering.ts'
import { ContactNotice } from './contact-notice.tsx'
import { OwnNodeNotice } from './own-node-notice.tsx'
import { isBuilt, type PageName, PageOf, pageOf, warmPages } from './pages.tsx'
import { usePath } from './routes.ts'
import { signOut, useSignIn } from './session.ts'
import { SignIn } from './sign-in.tsx'
import { useStore } from './store.ts'
import { ThemeSwitch } from './theme-switch.tsx'
import { Button, ErrorNote, Toasts } from './ui/index.ts'

const links: readonly { readonly page: PageName; readonly path: string; readonly title: string }[] = [
  { page: 'query', path: '/', title: 'Query' },
  { page: 'machines', path: '/machines', title: 'Machines' },
  { page: 'cluster', path: '/cluster', title: 'Cluster' },
  { page: 'sessions', path: '/sessions', title: 'Sessions' },
]

export function App() {
  const path = usePath()
  const { session } = useSignIn()
  const page = pageOf(path)
  const signedIn = session !== null
  useEffect(() => {
    if (signedIn) return warmPages()
  }, [signedIn])
  return (
    <>
      <a class="skip-link" href="#content">
        Skip to content
      </a>
      <header class="frame-header">
        <a class="brand" href="/">
          <img src="/icon.svg" width="22" height="22" alt="" />
          Lens HA
        </a>
        {session ? (
          <nav class="frame-nav" aria-label="Pages">
            {links
              .filter(link => isBuilt(link.page))
              .map(link => (
                <a key={link.path} href={link.path} aria-current={link.page === page ? 'page' : undefined}>
                  {link.title}
                </a>
              ))}
          </nav>
        ) : null}
        <div class="frame-end">
          {session ? <SpeakingTo /> : null}
          {session ? <span class="frame-user">{session.user}</span> : null}
          <ThemeSwitch />
          {session ? (
            <Button small onClick={() => void signOut()}>
              Sign out
            </Button>
          ) : null}
        </div>
      </header>
      {session ? <ContactNotice /> : null}
      {session ? <OwnNodeNotice /> : null}
      <main id="content" tabIndex={-1}>
        {session ? <Guarded key={`${page}:${session.id}`} page={page} /> : <SignIn />}
      </main>
      <Toasts />
    </>
  )
}

/** Which node answers: it changes by itself when one dies. */
function SpeakingTo() {
  const node = useStore(currentNode)
  if (node === null) return null
  return (
    <span class="frame-node" title="The node that answers now; another takes its place when it dies">
      via {node}
    </span>
  )
}

/** A page that breaks leaves the frame standing. */
function Guarded({ page }: { readonly page: PageName | null }) {
  const [error, reset] = useErrorBoundary()
  if (error) {
    return (
      <div class="page">
        <ErrorNote error={error} retry={reset} />
      </div>
    )
  }
  return <PageOf page={page} />
}
