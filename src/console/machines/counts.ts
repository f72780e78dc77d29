/** How many machines are in each state, from whichever node tells; null until it is known. */
import { useEffect, useState } from 'preact/hooks'
import type { MachineCounts } from '../../client/index.ts'
import { useClient } from '../session.ts'

const againMs = 2_000

export function useCounts(): MachineCounts | null {
  const client = useClient()
  const [counts, setCounts] = useState<MachineCounts | null>(null)
  useEffect(() => {
    let left = false
    let timer: ReturnType<typeof setTimeout> | null = null
    let feed = client.subscribeMachines()
    const follow = async () => {
      try {
        for await (const next of feed) if (!left) setCounts(next)
      } catch {
        if (left) return
        timer = setTimeout(() => {
          feed = client.subscribeMachines()
          void follow()
        }, againMs)
      }
    }
    void follow()
    return () => {
      left = true
      if (timer !== null) clearTimeout(timer)
      void feed.return?.()
    }
  }, [client])
  return counts
}
