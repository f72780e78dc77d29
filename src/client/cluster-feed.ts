/** The cluster's state as it changes. A slow reader gets the newest state, with all changes of hands since its last. */
import type { ClusterFrameBody } from '../api/v1/wire.ts'
import { PushQueue } from './queue.ts'
import type { Stream } from './stream.ts'

export interface ClusterSource {
  read(signal: AbortSignal): Promise<ClusterFrameBody>
  pause(signal: AbortSignal): Promise<void>
  /** Told the addresses of the members that serve: who follows the cluster also finds its way in it. */
  learn(addresses: readonly string[]): void
}

export function clusterChangesOf(stream: Stream, source: ClusterSource): AsyncIterableIterator<ClusterFrameBody> {
  let polling: AbortController | null = null
  let leave = () => {}
  const queue = new PushQueue<ClusterFrameBody>(() => {
    polling?.abort()
    leave()
  })
  const give = (cluster: ClusterFrameBody) => {
    source.learn(cluster.nodes.filter(node => node.state === 'alive').map(node => node.address))
    const unread = queue.newest
    if (unread) queue.replaceNewest({ ...cluster, changes: [...(unread.changes ?? []), ...(cluster.changes ?? [])] })
    else queue.push(cluster)
  }
  const poll = async (signal: AbortSignal) => {
    for (let last = ''; !signal.aborted; ) {
      const cluster = await source.read(signal)
      const text = JSON.stringify([cluster.leader, cluster.nodes])
      if (text !== last) give(cluster)
      last = text
      await source.pause(signal)
    }
  }
  leave = stream.subscribe({
    topic: () => ({ topic: 'cluster' }),
    frame(frame) {
      if (frame.type === 'cluster') give(frame.cluster)
    },
    failed: error => queue.fail(error),
    unavailable() {
      polling = new AbortController()
      const { signal } = polling
      poll(signal).catch(error => {
        if (!signal.aborted) queue.fail(error)
      })
    },
    available: () => polling?.abort(),
  })
  return queue
}
