/** How many machines are in each state, as it changes. A slow reader gets the newest counts; without a WebSocket there are none. */
import type { MachineCounts } from '../api/v1/wire.ts'
import { PushQueue } from './queue.ts'
import type { Stream } from './stream.ts'

export function machineCountsOf(stream: Stream): AsyncIterableIterator<MachineCounts> {
  let leave = () => {}
  const queue = new PushQueue<MachineCounts>(() => leave())
  leave = stream.subscribe({
    topic: () => ({ topic: 'machines' }),
    frame(frame) {
      if (frame.type === 'machines') queue.replaceNewest(frame.machines)
    },
    failed: error => queue.fail(error),
    // Nothing but the stream tells them: they come again with the next connection.
    unavailable() {},
    available() {},
  })
  return queue
}
