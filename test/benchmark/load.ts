/** Load: closed loops (as fast as answers come) and open ones (at a given rate, whatever the answers do). */
/** Runs `task` from `workers` loops for `forMs`; gives the rate per second. The first fifth is not counted. */
export async function closedLoop(
  workers: number,
  forMs: number,
  task: (worker: number) => Promise<unknown>,
): Promise<number> {
  const begin = performance.now()
  const countFrom = begin + forMs / 5
  const end = begin + forMs
  let counted = 0
  let last = countFrom
  await Promise.all(
    Array.from({ length: workers }, async (_, worker) => {
      while (performance.now() < end) {
        await task(worker)
        const now = performance.now()
        if (now < countFrom || now > end) continue
        counted++
        last = now
      }
    }),
  )
  return counted / ((Math.max(last, end) - countFrom) / 1000)
}

/** Starts `task` at a steady rate for `forMs`; gives the time of each from when it was due, so that queueing counts. */
export async function openLoop(perSecond: number, forMs: number, task: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = []
  const begin = performance.now()
  const total = Math.floor((perSecond * forMs) / 1000)
  const all: Promise<void>[] = []
  for (let index = 0; index < total; index++) {
    const due = begin + (index * 1000) / perSecond
    const wait = due - performance.now()
    if (wait > 1) await new Promise(resolve => setTimeout(resolve, wait))
    all.push(task().then(() => void times.push(performance.now() - due)))
  }
  await Promise.all(all)
  return times
}
