/**
 * I4: replaying the transitions of a query gives its snapshot, and at every version the status that was stored for it. By actors
 * of the machine without effects, which take a fifth of the time of the pure `replay` and go through the same states.
 */
import { isDeepStrictEqual } from 'node:util'
import { createActor } from 'xstate'
import {
  type Lane,
  queryMachine,
  queryMachineVersion,
  type StoredSnapshot,
  statusOf,
  upgradeSnapshot,
} from '../../../src/domain/index.ts'
import type { Findings } from './findings.ts'
import type { Ledger, Query } from './ledger.ts'

export function checkReplays(ledger: Ledger, findings: Findings): void {
  for (const query of ledger.queries.values()) if (query.row) checkReplay(query, findings)
}

function checkReplay({ handle, row, transitions }: Query, findings: Findings): void {
  if (!row) return
  const tooNew = transitions.find(
    ({ machineVersion }) => !(machineVersion >= 1 && machineVersion <= queryMachineVersion),
  )
  if (tooNew) {
    findings.broken(
      'I4',
      handle,
      `version ${tooNew.version} names machine version ${tooNew.machineVersion}, which is unknown here`,
      tooNew,
    )
    return
  }
  findings.lookedAt('I4', 'queries replayed')
  findings.lookedAt('I4', 'transitions replayed', transitions.length)
  let stored: StoredSnapshot
  try {
    stored = upgradeSnapshot(JSON.parse(row.snapshot as string))
  } catch (error) {
    findings.broken('I4', handle, `its snapshot cannot be read: ${String(error)}`, row)
    return
  }
  const input = { handle, lane: row.requested_lane as Lane, engine: row.requested_engine as string | null }
  const actor = createActor(queryMachine, { input }).start()
  for (const [index, step] of transitions.entries()) {
    actor.send(step.event)
    const { value, context } = actor.getSnapshot()
    if (context.version === index + 1 && statusOf(value) === step.to) continue
    findings.broken(
      'I4',
      handle,
      `replaying version ${step.version} (${step.event.type}) gives ${statusOf(value)} with version ${context.version}, stored is ${step.to}`,
      ...transitions,
    )
    return
  }
  const { value, context } = actor.getSnapshot()
  const replayed = JSON.parse(JSON.stringify({ value, context }))
  if (!isDeepStrictEqual(replayed, { value: stored.value, context: stored.context }))
    findings.broken(
      'I4',
      handle,
      'its transitions give another state than its snapshot has',
      { replayed, stored },
      ...transitions,
    )
}
