/** I4: replaying the transitions of a query gives its snapshot, and at every version the status that was stored for it. */
import { isDeepStrictEqual } from 'node:util'
import {
  type Lane,
  queryMachineVersion,
  replay,
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
  let last: { value: unknown; context: unknown } | null = null
  let version = 0
  for (const state of replay(
    input,
    transitions.map(({ event }) => event),
  )) {
    const step = transitions[version++]
    if (state.context.version !== version || statusOf(state.value) !== step?.to) {
      findings.broken(
        'I4',
        handle,
        `replaying version ${version} (${step?.event.type}) gives ${statusOf(state.value)} with version ${state.context.version}, stored is ${step?.to}`,
        ...transitions,
      )
      return
    }
    last = state
  }
  const replayed = last && JSON.parse(JSON.stringify({ value: last.value, context: last.context }))
  if (!isDeepStrictEqual(replayed, { value: stored.value, context: stored.context }))
    findings.broken(
      'I4',
      handle,
      'its transitions give another state than its snapshot has',
      { replayed, stored },
      ...transitions,
    )
}
