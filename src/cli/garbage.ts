/**
 * Bounds the garbage that a node carries. V8 lets the heap grow to several times what lives in it before it looks for what is
 * dead, and its young generation with it. A takeover of 5,000 queries then cost 180 MB and more, for 50 MB that lived. Looking
 * sooner costs nothing there (as many milliseconds in all, in more and smaller portions), but it does under load: a node that
 * looks after 30 % takes a sixth more of its processor for each whole query than one that looks after 60 %, which grows by more than
 * 150 MB for 10,000 orphans on a busy machine. With what stands here it grew by 130.
 *
 * Flags on the command line of Node would say the same, but then each way to start a node had to know them.
 */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import type { Clock } from '../async/index.ts'

const garbagePercentMax = 45
/** From this size on the young generation need not grow: it holds what a burst of requests allocates and drops again. */
const youngBytes = 16 << 20
const lookMs = 5

/** To be called before the bulk of the modules is loaded, during which the young generation grows. */
export function boundGarbage(clock: Clock): void {
  setFlagsFromString(`--heap-growing-percent=${garbagePercentMax}`)
  const cancel = clock.every(lookMs, () => {
    const young = getHeapSpaceStatistics().find(space => space.space_name === 'new_space')
    if (young && young.space_size < youngBytes) return
    setFlagsFromString('--semi-space-growth-factor=1')
    cancel()
  })
}
