/**
 * Calls to other members of the cluster. The policy of this page admits its own node alone; that of `/reach`, a document that
 * does nothing, admits whoever is a member when it is asked for. The page holds it in a hidden frame, calls with the `fetch` and
 * the `WebSocket` of that window, and asks for it anew when somebody has joined: nothing of the page is lost by it.
 *
 * Only the page's own node can be asked for a window that the page may use. Once that node is gone, the reach stays as it is.
 */

interface Frame {
  readonly element: HTMLIFrameElement
  readonly window: Window & typeof globalThis
  /** Origins that its policy admits. */
  readonly origins: ReadonlySet<string>
}

/** A frame that is taken away ends the calls made from it, so some older ones stay. */
const framesMax = 4
const loadMs = 10_000
/** A node hears of a new member a moment after the one that told this page. */
const againMs = [300, 1_000, 2_000, 5_000, 10_000]

/** The newest first. */
const frames: Frame[] = []
let loading: Promise<unknown> = Promise.resolve()

/** `fetch`, to this page's node and to members within reach. */
export async function reachingFetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const url = new URL(input instanceof Request ? input.url : input, location.href)
  if (url.origin === location.origin) return fetch(input, init)
  if (!frameFor(url)) await loading
  const frame = frameFor(url)
  if (!frame) throw new TypeError(`${url.origin} is out of this page's reach`)
  return frame.window.fetch(input, init)
}

/** `WebSocket`, in the same way; to others it closes at once, as to a node that refuses. */
export const ReachingSocket: typeof WebSocket = new Proxy(WebSocket, {
  construct(Socket, [address]: [string]) {
    const url = new URL(address.replace(/^ws/, 'http'))
    if (url.origin === location.origin) return new Socket(address)
    const frame = frameFor(url)
    return frame ? new frame.window.WebSocket(address) : new Unreachable()
  },
})

/** At the start: what the page can do without this node depends on it. */
export function openReach(): void {
  loading = load()
}

/** Looks for a reach that holds all these addresses, with patience; false where this page's node knows of none. */
export async function reachFor(addresses: readonly string[]): Promise<boolean> {
  for (const pauseMs of againMs) {
    if (isWithin(addresses)) return true
    loading = loading.then(() => (isWithin(addresses) ? null : load()))
    await loading
    if (isWithin(addresses)) return true
    await new Promise(resolve => setTimeout(resolve, pauseMs))
  }
  return isWithin(addresses)
}

function isWithin(addresses: readonly string[]): boolean {
  return addresses.every(address => {
    const url = URL.parse(address)
    return url === null || url.origin === location.origin || frameFor(url) !== undefined
  })
}

function frameFor({ origin }: URL): Frame | undefined {
  return frames.find(({ origins }) => origins.has(origin))
}

/** Does nothing where the node does not answer. */
async function load(): Promise<void> {
  const element = document.createElement('iframe')
  Object.assign(element, { hidden: true, title: 'Members that this page may call', src: '/reach' })
  const answer = Promise.withResolvers<void>()
  element.addEventListener('load', () => answer.resolve(), { once: true })
  const timer = setTimeout(answer.resolve, loadMs)
  document.body.append(element)
  await answer.promise
  clearTimeout(timer)
  // Of a page that the browser made up, because nobody answered, nothing is to be seen.
  const items = element.contentDocument?.querySelectorAll('li') ?? []
  if (items.length === 0) return element.remove()
  const window = element.contentWindow as Frame['window']
  frames.unshift({ element, window, origins: new Set([...items].map(item => item.textContent ?? '')) })
  for (const old of frames.splice(framesMax)) old.element.remove()
}

class Unreachable extends EventTarget {
  readonly readyState = WebSocket.CLOSED

  constructor() {
    super()
    queueMicrotask(() => this.dispatchEvent(new Event('close')))
  }

  close(): void {}
}
