/**
 * Writes `docs/state-machines.md` from the machine definitions: what is drawn and listed there is what runs. Only the
 * sentences are this file's own, and a state, event, guard or effect without its sentence does not type-check or throws.
 */
import { writeFile } from 'node:fs/promises'
import type { AnyStateMachine, AnyStateNode } from 'xstate'
import {
  legalMoves,
  type QueryEventType,
  type QueryStatus,
  queryMachine,
  queryMachineVersion,
  type SessionEvent,
  type SessionStatus,
  sessionMachine,
  sessionMachineVersion,
} from '../../../src/domain/index.ts'

const file = new URL('../../../docs/state-machines.md', import.meta.url)

const queryStates: Readonly<Record<QueryStatus, string>> = {
  NEW: 'Exists only inside the submission; never durable.',
  QUEUED: 'Durable; waits for its estimate and for a slot of its lane.',
  LAUNCHED: 'The intent to submit is durable, with whatever identity the engine gives before anything can run.',
  RUNNING: 'The engine has it; its engine handle is durable.',
  EXECUTED: 'The engine is done; the last rows are being made durable.',
  FAILING: 'An attempt failed; another follows, or the end.',
  SUCCESSFUL: 'Ended, rows durable.',
  FAILED: 'Ended with an error.',
  CANCELED: 'Ended by its client.',
  CLOSED: 'Ended, and its client dropped the result; `outcome` keeps how it ended.',
}

const queryEvents: Readonly<Record<QueryEventType, string>> = {
  SUBMITTED: 'The row is written; the first owner is set, with epoch 1.',
  ESTIMATED: 'The engine has estimated the cost; the lane is chosen.',
  LAUNCHED: 'A slot was given; the next attempt begins.',
  IDENTIFIED: 'The engine gave an identity, before anything can run.',
  STARTED: 'The engine has the statement.',
  ADVANCED: 'The engine handle has moved on.',
  EXECUTED: 'The engine is done; the row count is known.',
  STORED: 'All rows are durable.',
  ATTEMPT_FAILED: 'The attempt failed; the event says when another may begin, if at all.',
  RETRIED: 'Another attempt may begin.',
  GAVE_UP: 'No other attempt follows.',
  STOP_REQUESTED: 'Its client, its deadline, a hand-over, or the loss of whoever waited asks for the end.',
  STOPPED: 'The engine has confirmed the end.',
  CLAIMED: 'Its owner is gone; another node has taken it over. The epoch grows.',
  HANDED_OVER: 'Its owner gave it to another node. The epoch grows.',
  RESULT_DROPPED: 'Its client dropped the result.',
}

const effects: Readonly<Record<string, string>> = {
  schedule: 'estimates, then waits for a slot',
  submit: 'gives the statement to the engine',
  follow: 'follows the run, stores its rows',
  stop: 'asks the engine for the end until it confirms it',
  finish: 'moves the query to the finished ones',
  settle: 'waits until the next attempt may begin, or ends the query',
}

const guards: Readonly<Record<string, string>> = {
  changesOwner: 'durable, unfinished, and the epoch is newer',
  mayRetry: 'another attempt follows',
  mayNotRetry: 'none follows',
  wantsCancel: 'for cancel',
  wantsEnd: 'for the deadline, or nobody waits',
  wantsStop: 'for whatever reason',
  wantsCancelOfRetry: 'for cancel, and another attempt follows (QUEUED then ends it for the same wish)',
  wantsEndOfRetry: 'for the deadline, or nobody waits; and another attempt follows (now none does)',
  wantsCancelWithoutEffect: 'for cancel, and the statement is safe to repeat',
  wantsEndWithoutEffect: 'for the deadline, or nobody waits; and the statement is safe to repeat',
  outranksHandOver: 'for anything but a hand-over, while stopping for one',
  stoppingForCancel: 'it was stopped for cancel',
}

const sessionStates: Readonly<Record<SessionStatus | 'NEW', string>> = {
  NEW: 'Exists only inside the opening; never durable.',
  OPEN: 'In use.',
  CLOSING: 'Closed by its client; its queries still run, new calls are refused.',
  CLOSED: 'Gone.',
  EXPIRED: 'Gone, for nobody used it.',
}

const sessionEvents: Readonly<Record<SessionEvent['type'], string>> = {
  OPENED: 'The row is written.',
  CHANGED: 'Database or properties have changed.',
  CLOSE_REQUESTED: 'Its client closes it.',
  CLOSED: 'The last of its queries has ended.',
  EXPIRED: 'It was idle for too long.',
}

interface Move {
  readonly from: AnyStateNode
  readonly event: string
  readonly guard: string | null
  readonly to: AnyStateNode
  /** Leaves and enters its state again: the effect begins anew. */
  readonly again: boolean
}

function sentence(sentences: Readonly<Record<string, string>>, word: string): string {
  const found = sentences[word]
  if (found === undefined) throw new Error(`docs/state-machines.md has no sentence for ${word}`)
  return found
}

/** The state's name within its machine: `RUNNING.stopping`; the whole machine's is empty. */
function nameOf(node: AnyStateNode): string {
  return node.path.join('.')
}

function* nodesOf(node: AnyStateNode): Generator<AnyStateNode> {
  yield node
  for (const child of Object.values(node.states)) yield* nodesOf(child)
}

function movesOf(machine: AnyStateMachine): Move[] {
  return [...nodesOf(machine.root)].flatMap(from =>
    [...from.transitions.values()].flat().map(({ eventType, guard, target, reenter }) => ({
      from,
      event: eventType,
      guard: typeof guard === 'string' ? guard : null,
      to: target?.[0] ?? from,
      again: target !== undefined && reenter,
    })),
  )
}

function diagram(machine: AnyStateMachine): string[] {
  const idOf = (node: AnyStateNode) => node.path.join('_')
  const lines = ['```mermaid', 'stateDiagram-v2']
  const draw = (node: AnyStateNode, indent: string) => {
    const initial = node.initial.target[0]
    if (initial) lines.push(`${indent}[*] --> ${idOf(initial)}`)
    for (const child of Object.values(node.states)) {
      if (child.path.length > 1) lines.push(`${indent}state "${child.key}" as ${idOf(child)}`)
      if (Object.keys(child.states).length === 0) continue
      lines.push(`${indent}state ${idOf(child)} {`)
      draw(child, `${indent}    `)
      lines.push(`${indent}}`)
    }
  }
  draw(machine.root, '    ')
  const arrows = new Map<string, Set<string>>()
  for (const { from, event, to } of movesOf(machine)) {
    if (from === machine.root) continue
    const arrow = `${idOf(from)} --> ${idOf(to)}`
    arrows.set(arrow, (arrows.get(arrow) ?? new Set()).add(event))
  }
  for (const [arrow, events] of arrows) lines.push(`    ${arrow}: ${[...events].join(', ')}`)
  for (const node of nodesOf(machine.root)) if (node.type === 'final') lines.push(`    ${idOf(node)} --> [*]`)
  return [...lines, '```']
}

function stateTable(
  machine: AnyStateMachine,
  sentences: Readonly<Record<string, string>>,
  withEffects: boolean,
): string[] {
  const rows = [...nodesOf(machine.root)].slice(1).flatMap(node => {
    const meaning = node.path.length === 1 ? sentence(sentences, node.key) : ''
    const runs = node.invoke.map(({ src }) => `\`${String(src)}\`: ${sentence(effects, String(src))}`).join('; ')
    return withEffects ? `| \`${nameOf(node)}\` | ${meaning} | ${runs} |` : `| \`${nameOf(node)}\` | ${meaning} |`
  })
  return withEffects
    ? ['| state | meaning | effect that runs in it |', '|---|---|---|', ...rows]
    : ['| state | meaning |', '|---|---|', ...rows]
}

function eventTable(machine: AnyStateMachine, sentences: Readonly<Record<string, string>>): string[] {
  const moves = movesOf(machine)
  const lines = ['| event | in | if | to |', '|---|---|---|---|']
  for (const [event, meaning] of Object.entries(sentences)) {
    const own = moves.filter(move => move.event === event)
    if (own.length === 0) throw new Error(`no state accepts ${event}`)
    lines.push(`| **\`${event}\`** ${meaning} | | | |`)
    for (const { from, guard, to, again } of own) {
      const place = from === machine.root ? 'any' : `\`${nameOf(from)}\``
      const goal = from !== to ? `\`${nameOf(to)}\`` : again ? 'the same; its effect begins again' : 'the same'
      lines.push(`| | ${place} | ${guard === null ? '' : sentence(guards, guard)} | ${goal} |`)
    }
  }
  const unknown = moves.find(({ event }) => !Object.hasOwn(sentences, event))
  if (unknown) throw new Error(`docs/state-machines.md has no sentence for ${unknown.event}`)
  return lines
}

/** The whole page, as Markdown. */
export function generate(): string {
  const legal = Object.entries(legalMoves).map(
    ([from, tos]) => `| \`${from}\` | ${tos.length === 0 ? 'nothing' : tos.map(to => `\`${to}\``).join(', ')} |`,
  )
  return [
    '# State machines',
    '',
    '<!-- Generated from src/domain by `npm run docs`; a test compares. -->',
    '',
    'Every query and every session in use on a node is an actor of one of these two machines. An event that its state accepts is one',
    'durable transition and raises the version by one; any other event changes nothing. Effects begin when the transition that',
    'invoked them is durable.',
    '',
    `## Query (machine version ${queryMachineVersion})`,
    '',
    ...diagram(queryMachine),
    '',
    '`CLAIMED` and `HANDED_OVER` are accepted in every durable state that is not finished, and leave it as it is.',
    '',
    ...stateTable(queryMachine, queryStates, true),
    '',
    '### Events of a query',
    '',
    ...eventTable(queryMachine, queryEvents),
    '',
    '### Legal moves of `status`',
    '',
    "Apache Lens's own table, with the states that an event may leave as they are.",
    '',
    '| from | to |',
    '|---|---|',
    ...legal,
    '',
    `## Session (machine version ${sessionMachineVersion})`,
    '',
    ...diagram(sessionMachine),
    '',
    ...stateTable(sessionMachine, sessionStates, false),
    '',
    '### Events of a session',
    '',
    ...eventTable(sessionMachine, sessionEvents),
    '',
  ].join('\n')
}

if (import.meta.main) await writeFile(file, generate())
