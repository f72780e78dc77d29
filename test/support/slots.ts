/** The slots of the cluster, as the leader has given them out: for tests that fill them and count on who has how many. */
import { eventually } from './conditions.ts'
import { ask } from './invariants.ts'

/** Waits until each of the living nodes may run this many queries of the lane, and knows it. */
export async function slotsAreSplit(storeUrl: string, lane: 'light' | 'heavy', nodes: number, each: number) {
  await eventually(
    () =>
      ask(
        storeUrl,
        "SELECT granted, acknowledged FROM slot_budget JOIN member USING (incarnation) WHERE state = 'alive' AND lane = ?",
        [lane],
      ),
    rows =>
      rows.length === nodes &&
      rows.every(({ granted, acknowledged }) => Number(granted) === each && Number(acknowledged) === each),
    { what: `${each} ${lane} slots on each of ${nodes} nodes` },
  )
}
