/** The peer bus as the gateway sees it: frames, interests, and two hints. */
import type { PeerPort } from '../gateway/index.ts'
import type { PeerBus } from './bus-contract.ts'

export function peerPortOf(bus: PeerBus): PeerPort {
  return {
    publish: frames => bus.publish(frames),
    publishProgress: frame => bus.publishProgress(frame),
    want: interest => bus.want(interest),
    release: interest => bus.release(interest),
    cancelRequested: handles => bus.broadcast({ type: 'cancel', handles }),
    sessionClosed: ids => bus.broadcast({ type: 'session-closed', ids }),
  }
}
