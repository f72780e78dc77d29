/**
 * Whether any node can be heard. The client goes on trying by itself, which people would take for a page that hangs: so it says so.
 *
 *     there ──(nobody was reached for a while, and nobody answers when asked)──▶ lost ──(somebody answers)──▶ there
 */
import { createStore } from './store.ts'

export const contact = createStore<'there' | 'lost'>('there')

/** When a node dies another one answers within this time. */
const patienceMs = 2_000
let timer: ReturnType<typeof setTimeout> | null = null

/** A node answered, or took a connection. */
export function noteContact(): void {
  if (timer !== null) clearTimeout(timer)
  timer = null
  contact.set('there')
}

/** One could not be reached; `ask` rejects when none of them can. */
export function noteMiss(ask: () => Promise<unknown>): void {
  if (timer !== null) return
  const mine = setTimeout(async () => {
    const isThere = await ask().then(
      () => true,
      () => false,
    )
    if (timer !== mine) return
    if (isThere) return noteContact()
    contact.set('lost')
    timer = null
    noteMiss(ask)
  }, patienceMs)
  timer = mine
}
