/**
 * Who is signed in, and the client that speaks for them. The token lives in this tab's session storage only; the addresses
 * of the cluster's nodes beside it, so that the page goes on, and even a reloaded one finds a node, when one has died.
 *
 *     signed out ──signIn──▶ signed in ──(signOut | the session is invalid)──▶ signed out
 */
import { LensClient, LensClientError } from '../client/index.ts'
import { forgetAnswering, noteAnswering, noteNodes } from './answering.ts'
import { noteClusterTime } from './cluster-clock.ts'
import { noteContact, noteMiss } from './contact.ts'
import { ownNode } from './own-node.ts'
import { ReachingSocket, reachFor, reachingFetch } from './reach.ts'
import { createStore, useStore } from './store.ts'

export interface SignedIn {
  /** Id of the session. */
  readonly id: string
  readonly user: string
  readonly admin: boolean
  readonly token: string
}

export interface Credentials {
  readonly user?: string
  readonly password?: string
  /** A token of an identity provider (method jwt). */
  readonly jwt?: string
}

/** A node that is frozen or cut off does not say that it will not answer. */
const askMs = 5_000
const sessionKey = 'lens.session'
const nodesKey = 'lens.nodes'

/** Tells, too, whether a node took the connection. Up here, since a session that is restored connects at once. */
const HeardSocket: typeof WebSocket = new Proxy(ReachingSocket, {
  construct(Socket, [address]: [string]) {
    const socket = new Socket(address)
    socket.addEventListener('open', noteContact)
    // It may be the page itself that leaves: then the nodes are asked once, for nothing.
    socket.addEventListener('close', () => noteMiss(authentication))
    return socket
  },
})

interface State {
  readonly session: SignedIn | null
  readonly client: LensClient | null
  /** Why nobody is signed in any more, where that was not their wish. */
  readonly ended: string | null
}

const state = createStore<State>(restored())
/** Counts what the cluster told: only the latest is kept. */
let told = 0

/** The client of the signed-in session. Pages are drawn only while there is one. */
export function useClient(): LensClient {
  const { client } = useStore(state)
  if (!client) throw new Error('nobody is signed in')
  return client
}

export function useSession(): SignedIn {
  const { session } = useStore(state)
  if (!session) throw new Error('nobody is signed in')
  return session
}

/** For the frame of the application, which is drawn with and without a session. */
export function useSignIn(): State {
  return useStore(state)
}

/** Addresses of nodes: the one that served this page, and those learnt from the cluster. */
export function knownNodes(): string[] {
  return [...new Set([location.origin, ...stored<string[]>(nodesKey, [])])]
}

export async function signIn(credentials: Credentials): Promise<void> {
  const { user, password, jwt } = credentials
  const authorization = jwt ? `Bearer ${jwt}` : password === undefined ? undefined : `Basic ${basic(user, password)}`
  const opener = new LensClient({
    endpoints: knownNodes(),
    // With a token or a password the server knows the name; it is believed only where nothing is asked.
    ...(authorization ? { authorization } : { user: user ?? '' }),
    retry: { firstContactMs: 10_000, deadlineMs: 10_000 },
    WebSocket: null,
    fetch: reachingFetch,
  })
  const opened = await opener.open()
  if (!opened) throw new Error('no session was opened')
  const client = clientOf(opened.token)
  const { admin } = await client.request<Authentication>('GET', '/api/v1/auth')
  const session: SignedIn = {
    id: opened.id,
    user: opened.user,
    admin: admin === true,
    token: opened.token,
  }
  sessionStorage.setItem(sessionKey, JSON.stringify(session))
  state.set({ session, client, ended: null })
  void followCluster(client)
}

export interface Authentication {
  readonly method: 'none' | 'basic' | 'jwt'
  /** Of the session whose token was sent; null without one. */
  readonly admin: boolean | null
}

/** How the cluster knows its users: any node says so, without a session. */
export async function authentication(): Promise<Authentication> {
  let failure: unknown = null
  for (const node of knownNodes()) {
    try {
      const response = await reachingFetch(`${node}/api/v1/auth`, { signal: AbortSignal.timeout(askMs) })
      if (response.ok) return (await response.json()) as Authentication
      failure = new Error(`${node} answered ${response.status}`)
    } catch (error) {
      failure = new Error(`${node} cannot be reached`, { cause: error })
    }
  }
  throw failure
}

/** Closes the session on all nodes; here it ends even when none can be reached. */
export async function signOut({ cancelQueries = false } = {}): Promise<void> {
  const { session, client } = state.get()
  end(null)
  const query = cancelQueries ? '?cancelQueries=true' : ''
  if (session) await client?.request('DELETE', `/api/v1/sessions/${session.id}${query}`).catch(() => {})
  await client?.close()
}

function end(why: string | null): void {
  sessionStorage.removeItem(sessionKey)
  forgetAnswering()
  state.set({ session: null, client: null, ended: why })
}

/** The session is no longer valid: back to the sign-in, with the address kept. */
function expired(token: string): void {
  const { session, client } = state.get()
  if (session?.token !== token) return
  end('Your session has ended. Sign in again to go on where you were.')
  void client?.close()
}

function restored(): State {
  const session = stored<SignedIn | null>(sessionKey, null)
  const client = session ? clientOf(session.token) : null
  if (client) queueMicrotask(() => void followCluster(client))
  return { session, client, ended: null }
}

function clientOf(token: string): LensClient {
  const client: LensClient = new LensClient({
    endpoints: knownNodes(),
    token,
    discover: true,
    WebSocket: HeardSocket,
    async fetch(input, init) {
      const response = await reachingFetch(input, init).catch(failure => {
        if (!isLeft(init?.signal)) noteMiss(authentication)
        throw failure
      })
      noteContact()
      if (response.status === 401) expired(token)
      // The client knows who answered once it has the answer.
      else if (response.ok) setTimeout(() => state.get().client === client && noteAnswering(client.endpoint))
      return response
    },
  })
  return client
}

/** Nobody waits for the answer any more, which says nothing of the node. */
function isLeft(signal: AbortSignal | null | undefined): boolean {
  return signal?.aborted === true && (signal.reason instanceof LensClientError || signal.reason?.name === 'AbortError')
}

/** Keeps the addresses of the nodes current for as long as the client is open. */
async function followCluster(client: LensClient): Promise<void> {
  for (;;) {
    try {
      for await (const { now, nodes } of client.subscribeCluster()) {
        noteClusterTime(now)
        noteNodes(nodes)
        noteAnswering(client.endpoint)
        void keepNodes(nodes.filter(node => node.state === 'alive').map(node => node.address))
      }
      return
    } catch (error) {
      if (state.get().client !== client) return
      if (error instanceof LensClientError && error.code === 'SESSION_INVALID') {
        expired(state.get().session?.token ?? '')
        return
      }
      await new Promise(resolve => setTimeout(resolve, 2_000))
      if (state.get().client !== client) return
    }
  }
}

/** Keeps the addresses where the page can go on, once it can. */
async function keepNodes(addresses: readonly string[]): Promise<void> {
  if (addresses.length === 0) return
  const mine = ++told
  const own = ownNode.get()
  if (own?.state !== 'left' && own?.state !== 'gone') await reachFor(addresses)
  if (mine === told) sessionStorage.setItem(nodesKey, JSON.stringify(addresses))
}

function stored<T>(key: string, otherwise: T): T {
  try {
    return (JSON.parse(sessionStorage.getItem(key) ?? 'null') as T | null) ?? otherwise
  } catch {
    return otherwise
  }
}

/** Base64 of UTF-8; `btoa` takes Latin-1 only. */
function basic(user = '', password: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(`${user}:${password}`)))
}
