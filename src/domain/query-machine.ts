/**
 * The query's statechart: pure. It names its actor slots (`schedule`, `submit`, `follow`, `finish`, `stop`, `settle`);
 * `machine.provide` binds them at the edge, and every one of them waits until the transition that invoked it is durable.
 *
 *     NEW → QUEUED → LAUNCHED → RUNNING → EXECUTED ──→ SUCCESSFUL ─┐
 *              ├─────────┼─────────┼──────────┼──────→ CANCELED ───┼→ CLOSED
 *              └─────────┴─────────┴──────────┴→ FAILING → FAILED ─┘
 *                                                   └────→ QUEUED
 *
 * LAUNCHED and RUNNING have an inner state `stopping`: somebody asked for the end, and the engine has not confirmed it yet.
 * Every accepted event is one durable transition and raises `version` by one; an event that no state accepts changes
 * nothing. Whatever the view of a query at some version needs beside its specification is in the context, so replaying
 * the events gives every frame. Decisions that depend on configuration are made outside and travel in the events.
 */
import { type ActorLogic, type AnyEventObject, fromCallback, setup } from 'xstate'
import type { ErrorCode } from './errors.ts'
import { stepsOf } from './step.ts'
import type { Column, Estimate, FailedAttempt, QueryError, ResultSummary } from './views.ts'
import type { Lane, SlotLane } from './vocabulary.ts'

/** Raised with every change of states, events or context; every transition row names the one that made it. */
export const queryMachineVersion = 1

/** What the engine gave to find the running query again; opaque to all but its driver; JSON. */
export type EngineHandle = Readonly<Record<string, unknown>>

/** Why a query is being stopped; decides where it goes once the engine has confirmed the end. */
export type StopReason = 'cancel' | 'deadline' | 'hand-over' | 'abandoned'

/**
 * What made an attempt fail; each kind has its own bound in the failure policy.
 * `statement`: the engine refused or failed it, or a limit was exceeded; never repeated.
 * `engine-away`: its engine could not be reached, and nothing had begun there. `engine`: it was lost under it. `engine-process`: the engine's process died under it.
 * `node`: the node that ran it died. `hand-over`: stopped to run elsewhere; never counts.
 */
export type FailureKind = 'statement' | 'engine-away' | 'engine' | 'engine-process' | 'node' | 'hand-over'

export interface QueryInput {
  readonly handle: string
  /** The lane that the client asked for; `auto` until the estimate has chosen. */
  readonly lane: Lane
  /** The engine or group that the client asked for, or null for the default. */
  readonly engine: string | null
}

export interface QueryContext extends QueryInput {
  readonly version: number
  readonly owner: { readonly node: string; readonly epoch: number }
  /** How often it was launched. */
  readonly attempt: number
  /** The node that launched the current attempt, or null before the first. */
  readonly attemptNode: string | null
  readonly failedAttempts: readonly FailedAttempt[]
  readonly failures: Readonly<Partial<Record<FailureKind, number>>>
  /** In FAILING: when the next attempt may begin (ISO 8601), or null when there is none. */
  readonly retryAt: string | null
  readonly stopReason: StopReason | null
  readonly engineHandle: EngineHandle | null
  /** The statement runs in a read-only transaction or on a read-only engine. */
  readonly safeToRepeat: boolean
  /** Durable with EXECUTED: the rows that the statement owes; 0 for one that returns none. */
  readonly rowCount: number | null
  readonly error: QueryError | null
  readonly result: ResultSummary | null
  /** Pages of `attempt` that readers may see. */
  readonly pages: number
  readonly estimate: Estimate | null
  readonly plan: string | null
  readonly submittedAt: string | null
  readonly launchedAt: string | null
  readonly startedAt: string | null
  readonly finishedAt: string | null
}

/** When it happened: ISO 8601, the database's clock as the node knows it. An argument, so that replay gives the same. */
export interface Dated {
  readonly at: string
}

export type QueryEvent = Dated &
  (
    | { readonly type: 'SUBMITTED'; readonly node: string }
    | { readonly type: 'ESTIMATED'; readonly lane: SlotLane; readonly cost: number; readonly rows: number | null }
    | { readonly type: 'LAUNCHED'; readonly engine: string }
    | { readonly type: 'IDENTIFIED'; readonly engineHandle: EngineHandle }
    | { readonly type: 'STARTED'; readonly engineHandle: EngineHandle | null; readonly safeToRepeat: boolean }
    | { readonly type: 'ADVANCED'; readonly engineHandle: EngineHandle }
    | {
        readonly type: 'EXECUTED'
        readonly rowCount: number
        readonly columns: readonly Column[]
        readonly plan: string | null
        readonly estimate: Estimate | null
      }
    | { readonly type: 'STORED'; readonly bytes: number; readonly pages: number; readonly expiresAt: string | null }
    | {
        readonly type: 'ATTEMPT_FAILED'
        readonly kind: FailureKind
        readonly code: ErrorCode
        readonly message: string
        readonly node: string
        /** When the next attempt may begin, or null when there shall be none. */
        readonly retryAt: string | null
      }
    | { readonly type: 'RETRIED' }
    | { readonly type: 'GAVE_UP' }
    | { readonly type: 'STOP_REQUESTED'; readonly reason: StopReason }
    | { readonly type: 'STOPPED'; readonly node: string }
    | { readonly type: 'CLAIMED'; readonly node: string; readonly epoch: number }
    | { readonly type: 'HANDED_OVER'; readonly node: string; readonly epoch: number }
    | { readonly type: 'RESULT_DROPPED' }
  )

export type QueryEventType = QueryEvent['type']

/** The logic that fills a slot: an effect that sends events to its query, and detaches when it is stopped. */
// biome-ignore lint/suspicious/noExplicitAny: XState's own bound of a logic whose snapshot and events nobody reads
export type SlotLogic = ActorLogic<any, any, { readonly handle: string }, any, any>

/** A slot that nobody filled does nothing: what tests and the replay use. */
const idle: SlotLogic = fromCallback<AnyEventObject, { readonly handle: string }>(() => {})

const input = ({ context }: { context: QueryContext }) => ({ handle: context.handle })

const stopFailure: Readonly<Record<Exclude<StopReason, 'cancel'>, QueryError>> = {
  deadline: { code: 'DEADLINE_EXCEEDED', message: 'The query took longer than its deadline.' },
  abandoned: { code: 'NODE_LOST', message: 'The node that ran it is gone, and nobody waits for it any more.' },
  'hand-over': { code: 'NODE_LOST', message: 'Stopped to run on another node.' },
}

const step = stepsOf<QueryContext, QueryEvent>()

/** An attempt that was launched and now ends without success; one that failed before its launch is none. */
function recordedFailure(context: QueryContext, { code, message }: QueryError, node: string, at: string) {
  if (context.launchedAt === null) return context.failedAttempts
  return [...context.failedAttempts, { attempt: context.attempt, node, engine: context.engine, code, message, at }]
}

/** An attempt was ended for `reason`; whether another follows, the reason tells. */
function endedFor(reason: StopReason | null, context: QueryContext, node: string, at: string): Partial<QueryContext> {
  const failure = stopFailure[reason === null || reason === 'cancel' ? 'hand-over' : reason]
  const again = failure === stopFailure['hand-over']
  return {
    failedAttempts: recordedFailure(context, failure, node, at),
    error: again ? null : failure,
    retryAt: again ? at : null,
    stopReason: null,
    rowCount: null,
    result: null,
    plan: null,
  }
}

const asksFor = (event: QueryEvent, ...reasons: StopReason[]) =>
  event.type === 'STOP_REQUESTED' && reasons.includes(event.reason)

export const queryMachine = setup({
  types: {
    input: {} as QueryInput,
    context: {} as QueryContext,
    events: {} as QueryEvent,
  },
  actors: { schedule: idle, submit: idle, follow: idle, finish: idle, stop: idle, settle: idle },
  guards: {
    /** Epochs only grow; what is finished, or not yet durable, has no owner to change. */
    changesOwner: ({ context, event }) =>
      (event.type === 'CLAIMED' || event.type === 'HANDED_OVER') &&
      context.submittedAt !== null &&
      context.finishedAt === null &&
      event.epoch > context.owner.epoch,
    mayRetry: ({ context }) => context.retryAt !== null,
    mayNotRetry: ({ context }) => context.retryAt === null,
    wantsCancel: ({ event }) => asksFor(event, 'cancel'),
    wantsEnd: ({ event }) => asksFor(event, 'deadline', 'abandoned'),
    wantsStop: ({ event }) => asksFor(event, 'cancel', 'deadline', 'abandoned', 'hand-over'),
    wantsCancelOfRetry: ({ context, event }) => asksFor(event, 'cancel') && context.retryAt !== null,
    wantsEndOfRetry: ({ context, event }) => asksFor(event, 'deadline', 'abandoned') && context.retryAt !== null,
    // What was executed with an effect is never called cancelled or late.
    wantsCancelWithoutEffect: ({ context, event }) => asksFor(event, 'cancel') && context.safeToRepeat,
    wantsEndWithoutEffect: ({ context, event }) => asksFor(event, 'deadline', 'abandoned') && context.safeToRepeat,
    // A hand-over gives way to whoever wants the query's end; otherwise the first who asked is obeyed.
    outranksHandOver: ({ context, event }) =>
      asksFor(event, 'cancel', 'deadline', 'abandoned') && context.stopReason === 'hand-over',
    stoppingForCancel: ({ context }) => context.stopReason === 'cancel',
  },
  actions: {
    submitted: step<'SUBMITTED'>((_, event) => ({ owner: { node: event.node, epoch: 1 }, submittedAt: event.at })),
    estimated: step<'ESTIMATED'>((_, { lane, cost, rows }) => ({ lane, estimate: { cost, rows, lane } })),
    launched: step<'LAUNCHED'>((context, event) => ({
      engine: event.engine,
      attempt: context.attempt + 1,
      attemptNode: context.owner.node,
      launchedAt: event.at,
    })),
    identified: step<'IDENTIFIED' | 'ADVANCED'>((_, { engineHandle }) => ({ engineHandle })),
    started: step<'STARTED'>((context, event) => ({
      engineHandle: event.engineHandle ?? context.engineHandle,
      safeToRepeat: event.safeToRepeat,
      startedAt: event.at,
    })),
    executed: step<'EXECUTED'>((context, { rowCount, columns, plan, estimate }) => ({
      rowCount,
      plan,
      estimate: estimate ?? context.estimate,
      result: columns.length === 0 ? null : { columns, rowCount, bytes: 0, expiresAt: null },
      // It had finished before it could be stopped.
      stopReason: null,
    })),
    stored: step<'STORED'>((context, { pages, bytes, expiresAt, at }) => ({
      pages,
      result: context.result && { ...context.result, bytes, expiresAt },
      engineHandle: null,
      finishedAt: at,
    })),
    attemptFailed: step<'ATTEMPT_FAILED'>((context, { kind, code, message, node, retryAt, at }) => ({
      failedAttempts: recordedFailure(context, { code, message }, node, at),
      failures: { ...context.failures, [kind]: (context.failures[kind] ?? 0) + 1 },
      error: retryAt === null ? { code, message } : null,
      retryAt,
      stopReason: null,
      rowCount: null,
      result: null,
      plan: null,
    })),
    stopRequested: step<'STOP_REQUESTED'>((_, { reason }) => ({ stopReason: reason })),
    stopped: step<'STOPPED'>((context, { node, at }) => endedFor(context.stopReason, context, node, at)),
    ended: step<'STOP_REQUESTED'>((context, { reason, at }) =>
      endedFor(reason, context, context.attemptNode ?? context.owner.node, at),
    ),
    retryDropped: step<'STOP_REQUESTED'>((_, { reason }) => ({
      error: reason === 'cancel' ? null : stopFailure[reason],
      retryAt: null,
    })),
    retried: step<'RETRIED' | 'STOP_REQUESTED'>(() => ({
      retryAt: null,
      engineHandle: null,
      safeToRepeat: false,
      launchedAt: null,
      startedAt: null,
    })),
    gaveUp: step<'GAVE_UP'>((_, { at }) => ({ engineHandle: null, finishedAt: at })),
    canceled: step<'STOP_REQUESTED' | 'STOPPED'>((_, { at }) => ({
      stopReason: null,
      engineHandle: null,
      rowCount: null,
      result: null,
      plan: null,
      finishedAt: at,
    })),
    owned: step<'CLAIMED' | 'HANDED_OVER'>((_, { node, epoch }) => ({ owner: { node, epoch } })),
    dropped: step<'RESULT_DROPPED'>(() => ({ result: null, plan: null, pages: 0 })),
  },
}).createMachine({
  id: 'query',
  initial: 'NEW',
  context: ({ input: { handle, lane, engine } }) => ({
    handle,
    lane,
    engine,
    version: 0,
    owner: { node: '', epoch: 0 },
    attempt: 0,
    attemptNode: null,
    failedAttempts: [],
    failures: {},
    retryAt: null,
    stopReason: null,
    engineHandle: null,
    safeToRepeat: false,
    rowCount: null,
    error: null,
    result: null,
    pages: 0,
    estimate: null,
    plan: null,
    submittedAt: null,
    launchedAt: null,
    startedAt: null,
    finishedAt: null,
  }),
  on: {
    CLAIMED: { guard: 'changesOwner', actions: 'owned' },
    HANDED_OVER: { guard: 'changesOwner', actions: 'owned' },
  },
  states: {
    NEW: { on: { SUBMITTED: { target: 'QUEUED', actions: 'submitted' } } },
    QUEUED: {
      invoke: { id: 'schedule', src: 'schedule', input },
      on: {
        ESTIMATED: { actions: 'estimated' },
        LAUNCHED: { target: 'LAUNCHED', actions: 'launched' },
        ATTEMPT_FAILED: { target: 'FAILING', actions: 'attemptFailed' },
        STOP_REQUESTED: [
          { guard: 'wantsCancel', target: 'CANCELED', actions: 'canceled' },
          { guard: 'wantsEnd', target: 'FAILING', actions: 'ended' },
        ],
      },
    },
    LAUNCHED: {
      initial: 'submitting',
      on: {
        ATTEMPT_FAILED: { target: 'FAILING', actions: 'attemptFailed' },
        EXECUTED: { target: 'EXECUTED', actions: 'executed' },
      },
      states: {
        submitting: {
          invoke: { id: 'submit', src: 'submit', input },
          on: {
            IDENTIFIED: { actions: 'identified' },
            STARTED: { target: '#query.RUNNING', actions: 'started' },
            STOP_REQUESTED: { guard: 'wantsStop', target: 'stopping', actions: 'stopRequested' },
          },
        },
        stopping: {
          invoke: { id: 'stop', src: 'stop', input },
          on: {
            // `stop` begins again: it may be over for the former reason.
            STOP_REQUESTED: { guard: 'outranksHandOver', target: 'stopping', reenter: true, actions: 'stopRequested' },
            STOPPED: [
              { guard: 'stoppingForCancel', target: '#query.CANCELED', actions: 'canceled' },
              { target: '#query.FAILING', actions: 'stopped' },
            ],
          },
        },
      },
    },
    RUNNING: {
      initial: 'following',
      on: {
        ATTEMPT_FAILED: { target: 'FAILING', actions: 'attemptFailed' },
        EXECUTED: { target: 'EXECUTED', actions: 'executed' },
      },
      states: {
        following: {
          invoke: { id: 'follow', src: 'follow', input },
          on: {
            ADVANCED: { actions: 'identified' },
            STOP_REQUESTED: { guard: 'wantsStop', target: 'stopping', actions: 'stopRequested' },
          },
        },
        stopping: {
          invoke: { id: 'stop', src: 'stop', input },
          on: {
            STOP_REQUESTED: { guard: 'outranksHandOver', target: 'stopping', reenter: true, actions: 'stopRequested' },
            STOPPED: [
              { guard: 'stoppingForCancel', target: '#query.CANCELED', actions: 'canceled' },
              { target: '#query.FAILING', actions: 'stopped' },
            ],
          },
        },
      },
    },
    EXECUTED: {
      invoke: { id: 'finish', src: 'finish', input },
      on: {
        STORED: { target: 'SUCCESSFUL', actions: 'stored' },
        ATTEMPT_FAILED: { target: 'FAILING', actions: 'attemptFailed' },
        STOP_REQUESTED: [
          { guard: 'wantsCancelWithoutEffect', target: 'CANCELED', actions: 'canceled' },
          { guard: 'wantsEndWithoutEffect', target: 'FAILING', actions: 'ended' },
        ],
      },
    },
    FAILING: {
      invoke: { id: 'settle', src: 'settle', input },
      on: {
        RETRIED: { guard: 'mayRetry', target: 'QUEUED', actions: 'retried' },
        GAVE_UP: { guard: 'mayNotRetry', target: 'FAILED', actions: 'gaveUp' },
        STOP_REQUESTED: [
          // FAILING → CANCELED is no legal move: the next attempt begins at once, and QUEUED ends it for the same wish.
          { guard: 'wantsCancelOfRetry', target: 'QUEUED', actions: 'retried' },
          // `settle` begins again, and finds that no attempt follows.
          { guard: 'wantsEndOfRetry', target: 'FAILING', reenter: true, actions: 'retryDropped' },
        ],
      },
    },
    SUCCESSFUL: { on: { RESULT_DROPPED: { target: 'CLOSED', actions: 'dropped' } } },
    FAILED: { on: { RESULT_DROPPED: { target: 'CLOSED', actions: 'dropped' } } },
    CANCELED: { on: { RESULT_DROPPED: { target: 'CLOSED', actions: 'dropped' } } },
    CLOSED: { type: 'final' },
  },
})

export type QueryMachine = typeof queryMachine
