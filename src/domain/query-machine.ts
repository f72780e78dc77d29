/**
 * The query's statechart: pure. It names its actor slots (`schedule`, `submit`, `follow`, `finish`, `stop`, `settle`);
 * `machine.provide` binds them at the edge, and every one of them waits until the transition that invoked it is durable.
 *
 *     NEW → QUEUED → LAUNCHED → RUNNING → EXECUTED → SUCCESSFUL ─┐
 *              │         └────────┴──────────┴→ CANCELED ────────┼→ CLOSED
 *              └→ CANCELED        FAILING → QUEUED | FAILED ─────┘
 *
 * LAUNCHED and RUNNING have an inner state `stopping`: somebody asked for the end, and the engine has not confirmed it yet.
 * Every accepted event is one durable transition and raises `version` by one; an event that no state accepts changes
 * nothing. Whatever the view of a query at some version needs beside its specification is in the context, so replaying
 * the events gives every frame. Decisions that depend on configuration are made outside and travel in the events.
 */
import { type ActorLogic, type AnyEventObject, assign, fromCallback, setup } from 'xstate'
import type { ErrorCode } from './errors.ts'
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
 * `engine`: its engine could not be reached. `engine-process`: the engine's process died under it.
 * `node`: the node that ran it died. `hand-over`: stopped to run elsewhere; never counts.
 */
export type FailureKind = 'statement' | 'engine' | 'engine-process' | 'node' | 'hand-over'

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
interface Dated {
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
export type SlotLogic = ActorLogic<any, any, { readonly handle: string }, any, any>

/** A slot that nobody filled does nothing: what tests and the replay use. */
const idle: SlotLogic = fromCallback<AnyEventObject, { readonly handle: string }>(() => {})

const input = ({ context }: { context: QueryContext }) => ({ handle: context.handle })
const stopFailure = {
  deadline: { code: 'DEADLINE_EXCEEDED', message: 'The query took longer than its deadline.' },
  abandoned: { code: 'NODE_LOST', message: 'The node that ran it is gone, and nobody waits for it any more.' },
  'hand-over': { code: 'NODE_LOST', message: 'Stopped to run on another node.' },
} as const satisfies Partial<Record<StopReason, QueryError>>

function recordedFailure(context: QueryContext, code: string, message: string, node: string, at: string) {
  if (context.attempt === 0) return context.failedAttempts
  return [...context.failedAttempts, { attempt: context.attempt, node, engine: context.engine, code, message, at }]
}

export const queryMachine = setup({
  types: {
    input: {} as QueryInput,
    context: {} as QueryContext,
    events: {} as QueryEvent,
  },
  actors: { schedule: idle, submit: idle, follow: idle, finish: idle, stop: idle, settle: idle },
  guards: {
    unfinished: ({ context }) => context.finishedAt === null,
    mayRetry: ({ context }) => context.retryAt !== null,
    mayNotRetry: ({ context }) => context.retryAt === null,
    wantsCancel: ({ event }) => event.type === 'STOP_REQUESTED' && event.reason === 'cancel',
    stoppingForCancel: ({ context }) => context.stopReason === 'cancel',
  },
  actions: {
    submitted: assign(({ context, event }) =>
      event.type !== 'SUBMITTED'
        ? {}
        : { version: context.version + 1, owner: { node: event.node, epoch: 1 }, submittedAt: event.at },
    ),
    estimated: assign(({ context, event }) =>
      event.type !== 'ESTIMATED'
        ? {}
        : {
            version: context.version + 1,
            lane: event.lane,
            estimate: { cost: event.cost, rows: event.rows, lane: event.lane },
          },
    ),
    launched: assign(({ context, event }) =>
      event.type !== 'LAUNCHED'
        ? {}
        : {
            version: context.version + 1,
            engine: event.engine,
            attempt: context.attempt + 1,
            attemptNode: context.owner.node,
            launchedAt: event.at,
            startedAt: null,
            engineHandle: null,
            retryAt: null,
          },
    ),
    identified: assign(({ context, event }) =>
      event.type !== 'IDENTIFIED' && event.type !== 'ADVANCED'
        ? {}
        : { version: context.version + 1, engineHandle: event.engineHandle },
    ),
    started: assign(({ context, event }) =>
      event.type !== 'STARTED'
        ? {}
        : {
            version: context.version + 1,
            engineHandle: event.engineHandle ?? context.engineHandle,
            safeToRepeat: event.safeToRepeat,
            startedAt: event.at,
          },
    ),
    executed: assign(({ context, event }) =>
      event.type !== 'EXECUTED'
        ? {}
        : {
            version: context.version + 1,
            rowCount: event.rowCount,
            plan: event.plan,
            estimate: event.estimate ?? context.estimate,
            result:
              event.columns.length === 0
                ? null
                : { columns: event.columns, rowCount: event.rowCount, bytes: 0, expiresAt: null },
          },
    ),
    stored: assign(({ context, event }) =>
      event.type !== 'STORED'
        ? {}
        : {
            version: context.version + 1,
            pages: event.pages,
            result: context.result && { ...context.result, bytes: event.bytes, expiresAt: event.expiresAt },
            stopReason: null,
            finishedAt: event.at,
          },
    ),
    attemptFailed: assign(({ context, event }) =>
      event.type !== 'ATTEMPT_FAILED'
        ? {}
        : {
            version: context.version + 1,
            failedAttempts: recordedFailure(context, event.code, event.message, event.node, event.at),
            failures: { ...context.failures, [event.kind]: (context.failures[event.kind] ?? 0) + 1 },
            error: event.retryAt === null ? { code: event.code, message: event.message } : null,
            retryAt: event.retryAt,
            rowCount: null,
            result: null,
            plan: null,
          },
    ),
    // A stop that is not a cancel: the deadline, a hand-over, or a synchronous query that nobody waits for any more.
    stoppedToFail: assign(({ context, event }) => {
      const reason = event.type === 'STOP_REQUESTED' ? event.reason : context.stopReason
      if (reason === null || reason === 'cancel') return {}
      const { code, message } = stopFailure[reason]
      const node = event.type === 'STOPPED' ? event.node : context.owner.node
      return {
        version: context.version + 1,
        stopReason: null,
        failedAttempts:
          event.type === 'STOPPED'
            ? recordedFailure(context, code, message, node, event.at)
            : context.failedAttempts,
        error: reason === 'hand-over' ? null : { code, message },
        retryAt: reason === 'hand-over' ? event.at : null,
        rowCount: null,
        result: null,
        plan: null,
      }
    }),
    stopRequested: assign(({ context, event }) =>
      event.type !== 'STOP_REQUESTED' ? {} : { version: context.version + 1, stopReason: event.reason },
    ),
    retried: assign(({ context }) => ({
      version: context.version + 1,
      retryAt: null,
      stopReason: null,
      engineHandle: null,
      safeToRepeat: false,
      launchedAt: null,
      startedAt: null,
      pages: 0,
    })),
    gaveUp: assign(({ context, event }) => ({
      version: context.version + 1,
      engineHandle: null,
      finishedAt: event.at,
    })),
    canceled: assign(({ context, event }) => ({
      version: context.version + 1,
      stopReason: null,
      retryAt: null,
      engineHandle: null,
      rowCount: null,
      result: null,
      plan: null,
      finishedAt: event.at,
    })),
    owned: assign(({ context, event }) =>
      event.type !== 'CLAIMED' && event.type !== 'HANDED_OVER'
        ? {}
        : { version: context.version + 1, owner: { node: event.node, epoch: event.epoch } },
    ),
    dropped: assign(({ context }) => ({ version: context.version + 1, result: null, plan: null, pages: 0 })),
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
    CLAIMED: { guard: 'unfinished', actions: 'owned' },
    HANDED_OVER: { guard: 'unfinished', actions: 'owned' },
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
          { target: 'FAILING', actions: 'stoppedToFail' },
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
            STOP_REQUESTED: { target: 'stopping', actions: 'stopRequested' },
          },
        },
        stopping: {
          invoke: { id: 'stop', src: 'stop', input },
          on: {
            STOPPED: [
              { guard: 'stoppingForCancel', target: '#query.CANCELED', actions: 'canceled' },
              { target: '#query.FAILING', actions: 'stoppedToFail' },
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
            STOP_REQUESTED: { target: 'stopping', actions: 'stopRequested' },
          },
        },
        stopping: {
          invoke: { id: 'stop', src: 'stop', input },
          on: {
            STOPPED: [
              { guard: 'stoppingForCancel', target: '#query.CANCELED', actions: 'canceled' },
              { target: '#query.FAILING', actions: 'stoppedToFail' },
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
      },
    },
    FAILING: {
      invoke: { id: 'settle', src: 'settle', input },
      on: {
        RETRIED: { guard: 'mayRetry', target: 'QUEUED', actions: 'retried' },
        GAVE_UP: { guard: 'mayNotRetry', target: 'FAILED', actions: 'gaveUp' },
      },
    },
    SUCCESSFUL: { on: { RESULT_DROPPED: { target: 'CLOSED', actions: 'dropped' } } },
    FAILED: { on: { RESULT_DROPPED: { target: 'CLOSED', actions: 'dropped' } } },
    CANCELED: { on: { RESULT_DROPPED: { target: 'CLOSED', actions: 'dropped' } } },
    CLOSED: { type: 'final' },
  },
})

export type QueryMachine = typeof queryMachine
