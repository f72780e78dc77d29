/**
 * Addresses of the console. Each page has one, so that it can be shared, and every node answers it with the same document.
 * Links are ordinary links; a click on one that stays here changes the address without loading anything.
 */
import { createStore, useStore } from './store.ts'

const path = createStore(location.pathname)

window.addEventListener('popstate', () => path.set(location.pathname))

/** Goes to an address of this console; with `replace` the present one is left out of the browser's history. */
export function navigate(to: string, options: { readonly replace?: boolean } = {}): void {
  if (to === location.pathname) return
  if (options.replace) history.replaceState(null, '', to)
  else history.pushState(null, '', to)
  path.set(location.pathname)
}

/** The path of the address, such as `/queries/0190…`; the component is drawn again when it changes. */
export function usePath(): string {
  return useStore(path)
}

/** The segments of a path, decoded: `/machines/a%20b` → `['machines', 'a b']`. */
export function segmentsOf(pathname: string): string[] {
  return pathname
    .split('/')
    .filter(part => part !== '')
    .map(part => {
      try {
        return decodeURIComponent(part)
      } catch {
        return part
      }
    })
}

/** Makes plain clicks on links within the console navigate; all others are the browser's. */
export function followLinks(root: Document): void {
  root.addEventListener('click', event => {
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return
    const link = event.composedPath().find(node => node instanceof HTMLAnchorElement)
    if (link?.target !== '' || link.hasAttribute('download') || link.origin !== location.origin) return
    if (link.hash !== '' || /^\/(api|lensapi|metrics|openapi\.json|healthz|readyz)(\/|$)/.test(link.pathname)) return
    event.preventDefault()
    navigate(link.pathname)
  })
}
