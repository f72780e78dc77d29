/**
 * The wire contract as schemas: they check requests, type the handlers and make `/openapi.json`. Answers are written by
 * `JSON.stringify`: measured, it is as fast as the code that fast-json-stringify makes of these schemas (670,000 against
 * 580,000 queries/s), and drops and coerces nothing; a test holds every real answer against its schema instead.
 */
import { type Static, type TSchema, Type } from 'typebox'
import {
  type ClusterView,
  type Column,
  type EngineView,
  type FailoverView,
  lanes,
  type MachineGraph,
  type MachineMoment,
  type PreparedQueryView,
  priorities,
  QueryStatus,
  type QueryView,
  type SessionView,
  type TableView,
  type TransitionView,
  type WireValue,
} from '../../domain/index.ts'
import type { Problem } from '../problem.ts'

const closed = { additionalProperties: false } as const
const described = (description: string) => ({ description })
const text = (description?: string) => Type.String(description ? { description } : {})
const count = (description?: string) => Type.Integer({ minimum: 0, ...(description ? { description } : {}) })
const time = (description?: string) => Type.String({ format: 'date-time', ...(description ? { description } : {}) })
const textOrNull = (description?: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], ...(description ? { description } : {}) })
const timeOrNull = (description?: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time', ...(description ? { description } : {}) })
const integerOrNull = (description: string) => Type.Unsafe<number | null>({ type: ['integer', 'null'], description })
/** For answers only: faults of an `anyOf` read badly. */
const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])
/** Shared schemas have a name in the document; `$id` makes Fastify find them. */
const named = <Schema extends TSchema>(name: string, schema: Schema): Schema & { $id: string } =>
  ({ ...schema, $id: name }) as Schema & { $id: string }
const reference = <View>(name: string) => Type.Unsafe<View>({ $ref: `${name}#` })

const values = Type.Unsafe<WireValue>({ description: 'Any JSON value; follows the type of its column.' })
const column = Type.Object({ name: text(), type: text("The engine's own name of the type.") }, closed)

const properties = Type.Record(Type.String(), Type.String())

export const Session = named(
  'Session',
  Type.Object(
    {
      id: text('Public id of the session.'),
      user: text(),
      database: textOrNull(),
      properties,
      status: Type.Enum(['OPEN', 'CLOSING', 'CLOSED', 'EXPIRED']),
      createdAt: time(),
      expiresAt: time('When it expires unless it is used before.'),
    },
    closed,
  ),
)

export const OpenedSession = named(
  'OpenedSession',
  Type.Object(
    { ...Session.properties, token: text('`<publicId>.<secretId>`: for `Authorization: Bearer`. Shown only here.') },
    closed,
  ),
)

export const Query = named(
  'Query',
  Type.Object(
    {
      handle: text('Public id of the query.'),
      sessionId: text(),
      user: text(),
      name: textOrNull(),
      sql: text(),
      operation: Type.Enum(['execute', 'estimate', 'explain']),
      mode: Type.Enum(['async', 'sync']),
      lane: Type.Enum([...lanes, 'auto'], described('`auto` until the estimate has chosen.')),
      priority: Type.Enum([...priorities]),
      engine: textOrNull(),
      status: Type.Enum(Object.values(QueryStatus)),
      outcome: Type.Unsafe<QueryView['outcome']>({
        enum: [null, 'SUCCESSFUL', 'FAILED', 'CANCELED'],
        description: 'How it ended, for good.',
      }),
      version: Type.Integer({ minimum: 1, description: 'Grows by one with every transition, without a gap.' }),
      progress: Type.Object(
        { fraction: Type.Unsafe<number | null>({ type: ['number', 'null'], minimum: 0, maximum: 1 }), message: text() },
        closed,
      ),
      queuePosition: integerOrNull('Outside the version; null where it is not known.'),
      owner: Type.Object({ node: text(), epoch: count() }, closed),
      attempt: count(),
      failedAttempts: Type.Array(
        Type.Object(
          { attempt: count(), node: text(), engine: textOrNull(), code: text(), message: text(), at: time() },
          closed,
        ),
      ),
      error: orNull(Type.Object({ code: text(), message: text() }, closed)),
      result: orNull(
        Type.Object(
          {
            columns: Type.Array(column),
            rowCount: count(),
            bytes: count('Size of the rows as JSON text.'),
            expiresAt: timeOrNull(),
          },
          closed,
        ),
      ),
      estimate: orNull(
        Type.Object(
          {
            cost: Type.Number(),
            rows: Type.Unsafe<number | null>({ type: ['number', 'null'] }),
            lane: Type.Enum([...lanes, 'auto']),
          },
          closed,
        ),
      ),
      plan: textOrNull("Of operation `explain`: the engine's plan."),
      submittedAt: time(),
      launchedAt: timeOrNull(),
      startedAt: timeOrNull(),
      finishedAt: timeOrNull(),
    },
    closed,
  ),
)

export const Transition = named(
  'Transition',
  Type.Object(
    {
      version: Type.Integer({ minimum: 1 }),
      event: text(),
      from: Type.Enum(Object.values(QueryStatus)),
      to: Type.Enum(Object.values(QueryStatus)),
      node: text(),
      epoch: count(),
      at: time(),
    },
    closed,
  ),
)

export const PreparedQuery = named(
  'PreparedQuery',
  Type.Object(
    {
      handle: text(),
      user: text(),
      name: textOrNull(),
      sql: text(),
      engine: text(),
      parameterCount: count('Parameters that an execution has to give.'),
      columns: Type.Array(column),
      createdAt: time(),
    },
    closed,
  ),
)

export const Rows = named(
  'Rows',
  Type.Object(
    {
      columns: Type.Array(column),
      rows: Type.Array(Type.Array(values)),
      offset: count(),
      nextOffset: integerOrNull('Where the next page begins; null after the last row.'),
    },
    closed,
  ),
)

export const EndedQuery = named(
  'EndedQuery',
  Type.Object(
    {
      query: reference<QueryView>('Query'),
      columns: Type.Unsafe<readonly Column[] | null>({ anyOf: [{ type: 'array', items: column }, { type: 'null' }] }),
      rows: Type.Unsafe<readonly (readonly WireValue[])[] | null>({
        type: ['array', 'null'],
        items: { type: 'array', items: {} },
        description: 'The first rows; null unless SUCCESSFUL.',
      }),
      nextOffset: integerOrNull('Where the results go on; null when these are all.'),
    },
    closed,
  ),
)

export const Cluster = named(
  'Cluster',
  Type.Object(
    {
      now: time(),
      leader: orNull(Type.Object({ node: text(), term: count(), expiresAt: time() }, closed)),
      nodes: Type.Array(
        Type.Object(
          {
            node: text(),
            incarnation: text(),
            address: text(),
            state: Type.Enum(['alive', 'draining', 'dead']),
            version: text(),
            startedAt: time(),
            leaseExpiresAt: time(),
            running: count(),
            queued: count(),
          },
          closed,
        ),
      ),
    },
    closed,
  ),
)

export const Failover = named(
  'Failover',
  Type.Object(
    { node: text(), incarnation: text(), cause: text(), detectedAt: time(), doneAt: timeOrNull(), queries: count() },
    closed,
  ),
)

export const Engine = named(
  'Engine',
  Type.Object(
    { name: text(), driver: text(), group: textOrNull(), healthy: Type.Boolean(), running: count(), queued: count() },
    closed,
  ),
)

export const Table = named('Table', Type.Object({ name: text(), columns: Type.Array(column) }, closed))

export const Graph = named(
  'MachineGraph',
  Type.Object(
    {
      id: text(),
      version: Type.Integer({ minimum: 1 }),
      initial: text(),
      states: Type.Array(
        Type.Object(
          {
            path: text('Keys from the top, joined by dots.'),
            key: text(),
            parent: textOrNull('Path of the state that it is in; null at the top.'),
            type: Type.Enum(['atomic', 'compound', 'parallel', 'final', 'history']),
            initial: textOrNull('Path of the state that is entered first; null unless compound.'),
            description: Type.Optional(text()),
          },
          closed,
        ),
      ),
      transitions: Type.Array(
        Type.Object(
          {
            source: text('Path of a state; empty for what is accepted in every state.'),
            target: textOrNull('Path of a state; null where only the context changes.'),
            event: text(),
            guard: Type.Optional(text()),
            actions: Type.Optional(Type.Array(text())),
            label: text(),
          },
          closed,
        ),
      ),
    },
    closed,
  ),
)

export const Moment = named(
  'MachineMoment',
  Type.Object(
    {
      version: Type.Integer({ minimum: 1 }),
      value: Type.Unsafe<unknown>({ description: 'A state, or an object of nested ones, as XState has it.' }),
      context: Type.Unsafe<unknown>({ type: 'object', description: 'The context at that version, secrets redacted.' }),
    },
    closed,
  ),
)

export const ProblemDocument = named(
  'Problem',
  Type.Object(
    {
      type: text('`urn:lens:error:` and the code.'),
      title: text(),
      status: Type.Integer({ minimum: 400, maximum: 599 }),
      code: text('One of the catalogue.'),
      detail: text('For people: which field, what was expected.'),
      retryable: Type.Boolean({
        description: 'Whether the same call can succeed later without executing anything twice.',
      }),
      node: text(),
      requestId: text(),
      handle: Type.Optional(Type.String({ description: 'The accepted query that this answer is about.' })),
    },
    closed,
  ),
)

export const sharedSchemas: readonly TSchema[] = [
  Session,
  OpenedSession,
  Query,
  EndedQuery,
  Transition,
  Rows,
  PreparedQuery,
  Cluster,
  Failover,
  Engine,
  Table,
  Graph,
  Moment,
  ProblemDocument,
]

// A view that gains a field which its schema lacks, or the other way round, does not compile.
type Same<Schema extends TSchema, View> = [keyof Static<Schema>, Static<Schema>] extends [keyof View, View]
  ? [keyof View] extends [keyof Static<Schema>]
    ? true
    : never
  : never
export const schemasMatchViews: readonly [
  Same<typeof Session, SessionView>,
  Same<typeof OpenedSession, SessionView & { token: string }>,
  Same<typeof Query, QueryView>,
  Same<typeof Transition, TransitionView>,
  Same<typeof PreparedQuery, PreparedQueryView>,
  Same<typeof Cluster, ClusterView>,
  Same<typeof Failover, FailoverView>,
  Same<typeof Engine, EngineView>,
  Same<typeof Table, TableView>,
  Same<typeof Graph, MachineGraph>,
  Same<typeof Moment, MachineMoment>,
  Same<typeof ProblemDocument, Problem>,
] = [true, true, true, true, true, true, true, true, true, true, true, true]

const problemAnswer = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: reference<Problem>('Problem') } },
})
/** Every route may answer these. */
export const problems = {
  '4xx': problemAnswer('The request cannot be served as it is; `code` says why.'),
  '5xx': problemAnswer('The server cannot serve it now; `retryable` says whether to come back.'),
}

export const answers = {
  machineMoment: reference<MachineMoment>('MachineMoment'),
  session: reference<SessionView>('Session'),
  openedSession: reference<SessionView & { readonly token: string }>('OpenedSession'),
  query: reference<QueryView>('Query'),
  endedQuery: reference<{
    readonly query: QueryView
    readonly columns: readonly Column[] | null
    readonly rows: readonly (readonly WireValue[])[] | null
    readonly nextOffset: number | null
  }>('EndedQuery'),
  preparedQuery: reference<PreparedQueryView>('PreparedQuery'),
  rows: reference<Static<typeof Rows>>('Rows'),
  cluster: reference<ClusterView>('Cluster'),
  listOf: <Name extends string, View>(name: Name, schemaName: string, _view?: View) =>
    Type.Unsafe<{ readonly [Key in Name]: readonly View[] }>({
      type: 'object',
      required: [name],
      properties: { [name]: { type: 'array', items: { $ref: `${schemaName}#` } } },
      additionalProperties: false,
    }),
  pageOf: <Name extends string, View>(name: Name, schemaName: string, _view?: View) =>
    Type.Unsafe<{ readonly [Key in Name]: readonly View[] } & { readonly nextCursor: string | null }>({
      type: 'object',
      required: [name, 'nextCursor'],
      properties: {
        [name]: { type: 'array', items: { $ref: `${schemaName}#` } },
        nextCursor: { type: ['string', 'null'], description: '`cursor` of the next page; null after the last.' },
      },
      additionalProperties: false,
    }),
  empty: (description: string) => Type.Null({ description }),
}
