/** I8: who was declared dead writes nothing from then on, and comes back under a new name by itself. */
import type { Findings } from './findings.ts'
import { changesOwner, type Ledger, type Query, type Row } from './ledger.ts'
import { ownersOf } from './writers.ts'

/** Between a statement's begin, when it reads the clock, and its commit lies at the most one wait for a lock and a killed connection. */
const commitMs = 2_000

export function checkZombies(ledger: Ledger, findings: Findings): void {
  const fences = new Map(ledger.history.rows.failover.map(row => [row.incarnation as string, row]))
  for (const query of ledger.queries.values()) {
    checkWrites(query, findings)
    checkOwner(query, fences, findings)
  }
  checkReturn(ledger, findings)
}

/** After a change of owner, no version of an owner before. */
function checkWrites({ handle, transitions }: Query, findings: Findings): void {
  if (!transitions.some(changesOwner)) return
  findings.lookedAt('I8', 'changes of owner', transitions.filter(changesOwner).length)
  const owners = ownersOf(transitions)
  let epoch = 1
  for (const step of transitions) {
    if (step.epoch < epoch)
      findings.broken(
        'I8',
        handle,
        `${step.node} wrote version ${step.version} in epoch ${step.epoch}, after epoch ${epoch} had begun for ${owners.get(epoch)}`,
        ...transitions.filter(changesOwner),
        step,
      )
    epoch = Math.max(epoch, step.epoch)
  }
}

/** What a fenced incarnation owned was claimed before its failover was called done; and it accepted nothing after its fence. */
function checkOwner(
  { handle, row, current, transitions }: Query,
  fences: ReadonlyMap<string, Row>,
  findings: Findings,
): void {
  if (!row) return
  const fence = fences.get(row.owner_incarnation as string)
  if (!fence) return
  findings.lookedAt('I8', 'queries last owned by a fenced incarnation')
  const [first, last] = [transitions[0], transitions.findLast(({ event }) => event.type !== 'RESULT_DROPPED')]
  if (first && first.epoch === row.epoch && first.at > Number(fence.detected_at) + commitMs)
    findings.broken(
      'I8',
      handle,
      `${row.owner_node} accepted it ${first.at - Number(fence.detected_at)} ms after it was declared dead`,
      row,
      fence,
      first,
    )
  if (fence.done_at !== null && last && last.at > Number(fence.done_at) + commitMs)
    findings.broken(
      'I8',
      handle,
      `${row.owner_node} wrote version ${last.version} ${last.at - Number(fence.done_at)} ms after all that it owned was claimed`,
      row,
      fence,
      last,
    )
  if (fence.done_at !== null && current.length > 0)
    findings.broken(
      'I8',
      handle,
      `it still belongs to an incarnation of ${row.owner_node} that is dead, and whose queries were all claimed`,
      row,
      fence,
    )
}

/** A node that was frozen or cut off and fenced for it lives again under a new incarnation. */
function checkReturn({ history }: Ledger, findings: Findings): void {
  const { end, rows, faults } = history
  if (end === null) return
  findings.lookedAt(
    'I8',
    'zombies made',
    faults.filter(({ effect, node }) => effect === 'silences' && node !== null).length,
  )
  for (const node of end.running) {
    findings.lookedAt('I8', 'nodes running at the end')
    const members = rows.member.filter(row => row.node_id === node && row.state !== 'dead')
    const fences = rows.failover.filter(row => row.node_id === node)
    findings.lookedAt('I8', 'fences', fences.length)
    if (members.length !== 1 || members[0]?.state !== 'alive')
      findings.broken(
        'I8',
        node,
        `it runs, and has ${members.length} living members (${members.map(({ state }) => state).join(', ')})`,
        ...members,
        ...fences,
      )
    else if (fences.some(({ incarnation }) => incarnation === members[0]?.incarnation))
      findings.broken('I8', node, 'it lives as the incarnation that was fenced', ...members, ...fences)
  }
  for (const { node_id, state, ...row } of rows.member)
    if (state !== 'dead' && !end.running.includes(node_id as string))
      findings.broken('I8', node_id as string, 'it does not run, and a member of its name is alive', {
        node_id,
        state,
        ...row,
      })
}
