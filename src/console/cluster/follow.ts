/**
 * Follows the cluster. The topic tells of members and ownership as they change; load and leases are read beside it, as nobody is
 * told of each heartbeat. What was seen outlives the page, so that a look at another one makes no gap longer than the look.
 */
import { useEffect } from 'preact/hooks'
import type { LensClient } from '../../client/index.ts'
import { clusterNow, noteClusterTime } from '../cluster-clock.ts'
import { createStore, type Store, useStore } from '../store.ts'
import { type ClusterHistory, nothingSeen, withChanges, withCluster } from './history.ts'

/** Of load and leases, in milliseconds: about as often as a lease is renewed, or a healthy one would seem to run out. */
const readMs = 500

const histories = new WeakMap<LensClient, Store<ClusterHistory>>()

function historyOf(client: LensClient): Store<ClusterHistory> {
  const known = histories.get(client)
  if (known) return known
  const made = createStore(nothingSeen)
  histories.set(client, made)
  return made
}

/** The cluster as it is seen, for as long as the component is drawn. */
export function useClusterHistory(client: LensClient): ClusterHistory {
  const history = historyOf(client)
  useEffect(() => {
    const leaving = new AbortController()
    const { signal } = leaving
    void follow(client, history, signal)
    void readLoad(client, history, signal)
    return () => leaving.abort()
  }, [client, history])
  return useStore(history)
}

async function follow(client: LensClient, history: Store<ClusterHistory>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const frames = client.subscribeCluster()
    const leave = () => void frames.return?.()
    signal.addEventListener('abort', leave, { once: true })
    try {
      for await (const { changes = [], ...cluster } of frames) {
        if (signal.aborted) return
        noteClusterTime(cluster.now)
        history.set(withChanges(withCluster(history.get(), cluster, clusterNow()), changes))
      }
    } catch (error) {
      if (!signal.aborted) history.set({ ...history.get(), error })
    } finally {
      signal.removeEventListener('abort', leave)
    }
    await pause(signal)
  }
}

async function readLoad(client: LensClient, history: Store<ClusterHistory>, signal: AbortSignal): Promise<void> {
  for (; !signal.aborted; await pause(signal)) {
    // Nobody sees a page in the background, and its readings are a cluster's work.
    if (document.hidden) continue
    try {
      const cluster = await client.cluster()
      if (signal.aborted) return
      noteClusterTime(cluster.now)
      history.set(withCluster(history.get(), cluster, clusterNow()))
    } catch (error) {
      if (!signal.aborted) history.set({ ...history.get(), error })
    }
  }
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, readMs)
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer)
        resolve()
      },
      { once: true },
    )
  })
}
