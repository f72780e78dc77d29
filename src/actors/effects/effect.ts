/**
 * How an actor slot of the query machine is filled: with an asynchronous function that begins only when the transition that
 * invoked it is durable, and that is told to detach (never to cancel) when its state is left or its query goes elsewhere.
 */

import { type AnyEventObject, fromCallback } from 'xstate'
import { LensError, type SlotLogic } from '../../domain/index.ts'
import { aboutQuery } from '../../observability/index.ts'
import { type ActorEnvironment, isoNow } from '../environment.ts'
import type { Lanes } from '../lanes.ts'
import { DetachedError, type LiveQuery } from '../live-query.ts'

export interface EffectScope {
  readonly environment: ActorEnvironment
  readonly lanes: Lanes
  readonly find: (handle: string) => LiveQuery | undefined
  /** A write of the effect was refused: the query is owned elsewhere. */
  readonly fenced: (live: LiveQuery) => void
  /** Where queries are given to instead of waiting for a slot here; null unless this node drains. */
  readonly handOverTarget: () => { incarnation: string; node: string } | null
}

export type Effect = (live: LiveQuery, scope: EffectScope, signal: AbortSignal) => Promise<void>

export interface EffectOptions {
  /** Begins before its transition is durable: where the effect changes nothing outside that depends on it. */
  readonly early?: (live: LiveQuery) => boolean
}

/** One for all: effects end with every transition, and nobody reads where. */
const left = new DetachedError()

/** Makes the slot's logic. What the effect throws fails the attempt; it never reaches the machine as an error. */
export function bindEffect(effect: Effect, scope: EffectScope, options: EffectOptions = {}): SlotLogic {
  return fromCallback<AnyEventObject, { readonly handle: string }>(({ input }) => {
    const controller = new AbortController()
    void begin(input.handle, effect, scope, controller.signal, options)
    return () => controller.abort(left)
  })
}

async function begin(
  handle: string,
  effect: Effect,
  scope: EffectScope,
  signal: AbortSignal,
  options: EffectOptions,
): Promise<void> {
  // Only after the step that invoked this has been noted: `send` notes it when the machine has moved.
  await null
  const live = scope.find(handle)
  if (!live || signal.aborted) return
  try {
    if (!options.early?.(live)) await live.durable()
    if (signal.aborted) return
    armDeadline(live, scope)
    await effect(live, scope, signal)
  } catch (error) {
    if (signal.aborted || live.detached || error instanceof DetachedError) return
    scope.environment.logger.error({ err: error, ...aboutQuery(live) }, 'a query failed by a defect of the node')
    failAttempt(live, 'INTERNAL', scope)
  }
}

/** Tells what the query waits for; '' when it does not wait any more. Never durable. */
export function say(message: string, live: LiveQuery, { environment }: EffectScope): void {
  if (live.progress.message === message) return
  live.progress = { fraction: null, message }
  environment.events.progressed(live.specification, live.progress)
}

function failAttempt(live: LiveQuery, code: 'INTERNAL', { environment }: EffectScope): void {
  live.send({
    type: 'ATTEMPT_FAILED',
    kind: 'statement',
    code,
    message: new LensError(code, 'A defect of the node ended the query; its log holds the cause.').detail,
    node: environment.membership.nodeId,
    retryAt: null,
  })
}

/** The deadline is an absolute time: whoever owns the query when it has come stops it. */
function armDeadline(live: LiveQuery, { environment }: EffectScope): void {
  const { deadlineAt } = live.specification
  if (deadlineAt === null || live.deadlineTimer) return
  const check = () => {
    live.deadlineTimer = null
    if (live.detached) return
    const leftMs = Date.parse(deadlineAt) - Date.parse(isoNow(environment))
    if (leftMs <= 0) {
      live.send({ type: 'STOP_REQUESTED', reason: 'deadline' })
      return
    }
    live.deadlineTimer = environment.clock.after(Math.min(leftMs, 3_600_000), check)
  }
  check()
}
