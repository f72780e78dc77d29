/**
 * Ways to make a right history wrong: each names the invariant that it breaks and the places where it can. `of` gives the
 * falsified records for every such place, so that a test can take any of them.
 */
import type { FrameRecord, HistoryRecord, Operation, OperationKind, RowRecord, SeenQuery, Table } from '../history.ts'
import type { Invariant } from './findings.ts'
import { terminal } from './ledger.ts'

export interface Falsification {
  readonly breaks: Invariant
  readonly words: string
  readonly of: (history: Records) => readonly Change[]
}

/** The record to take away and what comes in its place. */
type Change = readonly [HistoryRecord | null, ...HistoryRecord[]][]

/** A right history, with what falsifiers look for. */
export class Records {
  readonly all: readonly HistoryRecord[]

  constructor(all: readonly HistoryRecord[]) {
    this.all = all
  }

  rows(table: Table, where: (row: RowRecord['row']) => boolean = () => true): RowRecord[] {
    return this.all.filter(record => record.record === 'row').filter(one => one.table === table && where(one.row))
  }

  operations<Kind extends OperationKind>(kind: Kind): Extract<Operation, { kind: Kind }>[] {
    return this.all.filter(record => record.record === 'operation' && record.kind === kind) as Extract<
      Operation,
      { kind: Kind }
    >[]
  }

  get frames(): FrameRecord[] {
    return this.all.filter(record => record.record === 'frame')
  }

  /** Of one query, by version. */
  transitions(handle: string): RowRecord[] {
    return this.rows('query_transition', row => row.handle === handle).sort(
      (a, b) => Number(a.row.version) - Number(b.row.version),
    )
  }

  changed(change: Change): HistoryRecord[] {
    const gone = new Set(change.map(([record]) => record))
    return [...this.all.filter(record => !gone.has(record)), ...change.flatMap(([, ...added]) => added)]
  }
}

const withRow = (record: RowRecord, row: Partial<RowRecord['row']>): RowRecord => ({
  ...record,
  row: { ...record.row, ...row } as RowRecord['row'],
})
const eventOf = ({ row }: RowRecord) => JSON.parse(row.event as string)
const withEvent = (record: RowRecord, event: object): RowRecord =>
  withRow(record, { event: JSON.stringify({ ...eventOf(record), ...event }) })
const isClaim = (record: RowRecord) => eventOf(record).type === 'CLAIMED'

/** `change` of each row of the table, as a falsification of its own. */
function ofRows(
  table: Table,
  where: (row: RowRecord['row'], history: Records) => boolean,
  change: (record: RowRecord, history: Records) => Change,
): Falsification['of'] {
  return history => history.rows(table, row => where(row, history)).map(record => change(record, history))
}

/** Answered operations that saw one query, with the answer changed. */
function answeredOtherwise<Kind extends 'poll' | 'cancel'>(
  kind: Kind,
  where: (query: SeenQuery, operation: Extract<Operation, { kind: Kind }>, history: Records) => boolean,
  change: (query: SeenQuery, history: Records) => Partial<SeenQuery>,
): Falsification['of'] {
  return history =>
    (history.operations(kind) as Asked<'poll' | 'cancel'>[]).flatMap(operation => {
      const { answer } = operation
      if (!answer || !('query' in answer) || !where(answer.query, operation as Asked<Kind>, history)) return []
      const query = { ...answer.query, ...change(answer.query, history) }
      return [[[operation, { ...operation, answer: { ...answer, query } }]]] as Change[]
    })
}

type Asked<Kind extends OperationKind> = Extract<Operation, { kind: Kind }>

const refused = (operation: Operation, status: number, code: string): Operation =>
  ({ ...operation, answer: { status, code } }) as Operation

const answered = <Kind extends OperationKind>(history: Records, kind: Kind): Asked<Kind>[] =>
  (history.operations(kind) as Operation[]).filter(
    ({ answer }) => answer !== null && !('code' in answer),
  ) as Asked<Kind>[]

/** The version before, as it was. */
function earlier({ handle, version }: SeenQuery, history: Records): Partial<SeenQuery> {
  const before = history.transitions(handle)[version - 2]
  return {
    version: version - 1,
    status: before?.row.to_status as SeenQuery['status'],
    epoch: Number(before?.row.epoch),
    outcome: null,
  }
}

function knownBefore({ handle, version }: SeenQuery, { beginMs }: Operation, history: Records): boolean {
  return (
    version > 1 &&
    history
      .operations('poll')
      .some(
        ({ answer, endMs }) =>
          answer &&
          'query' in answer &&
          answer.query.handle === handle &&
          answer.query.version === version &&
          endMs !== null &&
          endMs < beginMs,
      )
  )
}

/** Frames that follow another of the same query in their subscription. */
const followers = (history: Records) =>
  history.frames.filter(frame =>
    history.frames.some(
      ({ subscription, index, query }) =>
        subscription === frame.subscription && query.handle === frame.query.handle && index < frame.index,
    ),
  )

function ownerOf(history: Records, target: string): string | undefined {
  const [row] = [
    ...history.rows('finished_query', row => row.handle === target),
    ...history.rows('session', row => row.id === target),
  ]
  return row?.row.user as string | undefined
}

const trespasses = <Kind extends 'poll' | 'rows' | 'read-session'>(history: Records, kind: Kind): Asked<Kind>[] =>
  (history.operations(kind) as Asked<'poll' | 'rows' | 'read-session'>[]).filter(operation => {
    const owner = ownerOf(history, operation.kind === 'read-session' ? operation.target : operation.handle)
    return owner !== undefined && owner !== operation.user && operation.user !== 'admin'
  }) as Asked<Kind>[]

const runOf = (history: Records) => history.all.find(record => record.record === 'run')
const endOf = (history: Records) => history.all.find(record => record.record === 'end')
const hourMs = 3_600_000

export const falsifications: readonly Falsification[] = [
  // ------------------------------------------------------------ I1
  {
    breaks: 'I1',
    words: 'an acknowledged query is nowhere',
    of: ofRows(
      'finished_query',
      () => true,
      (record, history) => [
        [record],
        ...history.transitions(record.row.handle as string).map(step => [step] as [HistoryRecord]),
      ],
    ),
  },
  {
    breaks: 'I1',
    words: 'a query is in both tables',
    of: ofRows(
      'finished_query',
      () => true,
      record => [[null, { ...record, table: 'current_query' }]],
    ),
  },
  {
    breaks: 'I1',
    words: 'a query ends twice',
    of: ofRows(
      'finished_query',
      row => row.status !== 'CLOSED',
      (record, history) => {
        const last = history.transitions(record.row.handle as string).at(-1) as RowRecord
        return [
          [
            null,
            withRow(last, {
              version: Number(last.row.version) + 1,
              from_status: 'FAILING',
              to_status: 'FAILED',
              id: 'another',
            }),
          ],
        ]
      },
    ),
  },
  {
    breaks: 'I1',
    words: 'a query never ends',
    of: ofRows(
      'finished_query',
      row => row.status !== 'CLOSED',
      (record, history) => [
        [record, withRow({ ...record, table: 'current_query' }, { status: 'RUNNING', outcome: null })],
        ...history
          .transitions(record.row.handle as string)
          .filter(({ row }) => terminal.has(row.to_status as string))
          .map(step => [step] as [HistoryRecord]),
      ],
    ),
  },
  {
    breaks: 'I1',
    words: 'a client was told of another end',
    of: answeredOtherwise(
      'poll',
      ({ outcome }) => outcome === 'SUCCESSFUL',
      () => ({ outcome: 'CANCELED' }),
    ),
  },

  // ------------------------------------------------------------ I2
  {
    breaks: 'I2',
    words: 'another node writes in an epoch',
    of: ofRows(
      'query_transition',
      row => !/SUBMITTED|CLAIMED|HANDED_OVER|RESULT_DROPPED/.test(row.event as string),
      record => [[record, withRow(record, { node: `not ${record.row.node}` })]],
    ),
  },
  {
    breaks: 'I2',
    words: 'an older epoch writes',
    of: ofRows(
      'query_transition',
      row => Number(row.epoch) > 1 && !/CLAIMED|HANDED_OVER/.test(row.event as string),
      record => [[record, withRow(record, { epoch: Number(record.row.epoch) - 1 })]],
    ),
  },
  {
    breaks: 'I2',
    words: 'an owner changes without an epoch',
    of: ofRows(
      'query_transition',
      row => /CLAIMED|HANDED_OVER/.test(row.event as string),
      record => [
        [
          record,
          withRow(withEvent(record, { epoch: Number(record.row.epoch) - 1 }), { epoch: Number(record.row.epoch) - 1 }),
        ],
      ],
    ),
  },
  {
    breaks: 'I2',
    words: 'the insert of a fenced writer stays',
    of: ofRows(
      'finished_query',
      () => true,
      ({ row }) => {
        const { handle, engine, attempt } = row as { handle: string; engine: string; attempt: number }
        const failed = { handle, attempt: attempt + 1, node: 'n3', engine, code: 'NODE_LOST', message: '', at: 1 }
        return [[null, { record: 'row', table: 'failed_attempt', row: failed }]]
      },
    ),
  },
  {
    breaks: 'I2',
    words: 'a row is not what its last transition made',
    of: ofRows(
      'finished_query',
      () => true,
      record => [[record, withRow(record, { transition_id: 'another' })]],
    ),
  },
  {
    breaks: 'I2',
    words: 'a version is written twice',
    of: ofRows(
      'query_transition',
      () => true,
      record => [[null, withRow(record, { id: 'another' })]],
    ),
  },

  // ------------------------------------------------------------ I3
  {
    breaks: 'I3',
    words: 'a version is missing in the database',
    of: ofRows(
      'query_transition',
      () => true,
      record => [[record]],
    ),
  },
  {
    breaks: 'I3',
    words: 'a frame is missing',
    of: history => {
      const lasting = new Set(
        history
          .operations('subscribe')
          .filter(({ endMs }) => endMs === null)
          .map(({ id }) => id),
      )
      const after = new Map(history.operations('subscribe').map(({ id, after }) => [id, after]))
      const isFollowed = (frame: FrameRecord) =>
        history.frames.some(
          ({ subscription, index, query }) =>
            subscription === frame.subscription && index > frame.index && query.handle === frame.query.handle,
        )
      const isAwaited = (frame: FrameRecord) =>
        after.get(frame.subscription)?.[frame.query.handle] !== undefined || followers(history).includes(frame)
      return history.frames
        .filter(frame =>
          isFollowed(frame)
            ? isAwaited(frame)
            : lasting.has(frame.subscription) && isAwaited(frame) && frame.query.status !== 'CLOSED',
        )
        .map(frame => [[frame]])
    },
  },
  {
    breaks: 'I3',
    words: 'a frame comes twice',
    of: history => history.frames.map(frame => [[null, { ...frame, index: frame.index + 0.5 }]]),
  },
  {
    breaks: 'I3',
    words: 'a frame comes before the one before',
    of: history => followers(history).map(frame => [[frame, { ...frame, index: -1 }]]),
  },
  {
    breaks: 'I3',
    words: 'a subscriber resumes and is shown what it had',
    of: history =>
      history
        .operations('subscribe')
        .filter(({ after, id }) =>
          history.frames.some(frame => frame.subscription === id && after[frame.query.handle] !== undefined),
        )
        .map(operation => [
          [
            operation,
            {
              ...operation,
              after: Object.fromEntries(
                Object.entries(operation.after).map(([handle, version]) => [handle, version + 1]),
              ),
            },
          ],
        ]),
  },
  {
    breaks: 'I3',
    words: 'a frame says another status',
    of: history =>
      history.frames.map(frame => {
        const status = frame.query.status === 'FAILING' ? 'RUNNING' : 'FAILING'
        return [[frame, { ...frame, query: { ...frame.query, status } }]]
      }),
  },

  // ------------------------------------------------------------ I4
  {
    breaks: 'I4',
    words: 'a snapshot is another',
    of: ofRows(
      'finished_query',
      () => true,
      record => {
        const snapshot = JSON.parse(record.row.snapshot as string)
        snapshot.context.attempt++
        return [[record, withRow(record, { snapshot: JSON.stringify(snapshot) })]]
      },
    ),
  },
  {
    breaks: 'I4',
    words: 'an event is another',
    of: ofRows(
      'query_transition',
      row => /LAUNCHED|EXECUTED/.test(row.event as string),
      record => {
        const other =
          eventOf(record).type === 'LAUNCHED'
            ? { at: '2001-01-01T00:00:00.000Z', engine: 'other' }
            : { type: 'GAVE_UP' }
        return [[record, withEvent(record, other)]]
      },
    ),
  },
  {
    breaks: 'I4',
    words: 'a transition names an unknown machine',
    of: ofRows(
      'query_transition',
      () => true,
      record => [[record, withRow(record, { machine_version: 99 })]],
    ),
  },

  // ------------------------------------------------------------ I5
  {
    breaks: 'I5',
    words: 'a statement is executed again',
    of: history => history.all.filter(record => record.record === 'execution').map(record => [[null, record]]),
  },
  {
    breaks: 'I5',
    words: 'what succeeded was not executed',
    of: history => history.all.filter(record => record.record === 'execution').map(record => [[record]]),
  },
  {
    breaks: 'I5',
    words: 'one key gives two queries',
    of: history => {
      const submits = answered(history, 'submit').filter(({ key }) => key !== null)
      return submits
        .filter(one => submits.some(({ key, user, id }) => key === one.key && user === one.user && id !== one.id))
        .map(operation => {
          const answer = structuredClone(operation.answer) as any
          answer.query.handle = 'another'
          return [[operation, { ...operation, answer }]]
        })
    },
  },
  {
    breaks: 'I5',
    words: 'a key stands for another query',
    of: ofRows(
      'submission_key',
      ({ kind }) => kind === 'query',
      record => [[record, withRow(record, { handle: 'another' })]],
    ),
  },
  {
    breaks: 'I5',
    words: 'what had its effect is launched again',
    of: history =>
      history.rows('finished_query').flatMap(({ row }) => {
        const steps = history.transitions(row.handle as string)
        const started = steps.findLast(step => eventOf(step).type === 'STARTED')
        const done = steps.find(step => eventOf(step).type === 'EXECUTED')
        const launched = steps.find(step => eventOf(step).type === 'LAUNCHED')
        if (!started || !done || !launched) return []
        return [
          [
            [started, withEvent(started, { safeToRepeat: false })],
            [done, withEvent(done, { columns: [] })],
            [null, withRow(launched, { version: Number(done.row.version) + 0.5 })],
          ],
        ]
      }),
  },

  {
    breaks: 'I5',
    words: 'a lost run is repeated against the wish of its client',
    of: ofRows(
      'finished_query',
      (row, history) =>
        history.transitions(row.handle as string).some(step => /"kind":"node"/.test(step.row.event as string)),
      record => [[record, withRow(record, { on_recovery: 'fail' })]],
    ),
  },

  // ------------------------------------------------------------ I6
  {
    breaks: 'I6',
    words: 'other rows are delivered',
    of: history =>
      answered(history, 'rows').flatMap(operation => {
        const answer = structuredClone(operation.answer) as any
        if (answer.rows.count === 0) return []
        answer.rows.hash += 1
        return [[[operation, { ...operation, answer }]]]
      }),
  },
  {
    breaks: 'I6',
    words: 'a row is left out at the end of a page',
    of: history =>
      answered(history, 'rows').flatMap(operation => {
        const answer = structuredClone(operation.answer) as any
        if (answer.rows.count === 0) return []
        answer.rows.count -= 1
        return [[[operation, { ...operation, answer }]]]
      }),
  },
  {
    breaks: 'I6',
    words: 'reading ends before the last row, or never',
    of: history =>
      answered(history, 'rows').map(operation => {
        const answer = structuredClone(operation.answer) as any
        answer.rows.nextOffset = answer.rows.nextOffset === null ? answer.rows.offset + answer.rows.count : null
        return [[operation, { ...operation, answer }]]
      }),
  },
  {
    breaks: 'I6',
    words: 'a stored page is missing',
    of: ofRows(
      'result_page',
      ({ handle }, history) =>
        history.rows('finished_query', row => row.handle === handle && row.status === 'SUCCESSFUL').length > 0,
      record => [[record]],
    ),
  },
  {
    breaks: 'I6',
    words: 'a page of another attempt is stored',
    of: ofRows(
      'result_page',
      ({ handle }, history) =>
        history.rows('finished_query', row => row.handle === handle && row.status === 'SUCCESSFUL').length > 0,
      record => [[null, withRow(record, { attempt: Number(record.row.attempt) + 1 })]],
    ),
  },

  // ------------------------------------------------------------ I7
  {
    breaks: 'I7',
    words: 'a cancelled query is launched',
    of: history =>
      answered(history, 'cancel').flatMap(operation => {
        const { handle } = operation
        const last = history.transitions(handle).at(-1) as RowRecord
        const launch = withEvent(last, { type: 'LAUNCHED', engine: 'duckdb' })
        return [[[null, withRow(launch, { version: Number(last.row.version) + 1, at: Number(last.row.at) + hourMs })]]]
      }),
  },
  {
    breaks: 'I7',
    words: 'a cancelled query never ends',
    of: history =>
      answered(history, 'cancel').flatMap(({ handle }) =>
        history
          .rows('finished_query', row => row.handle === handle)
          .map(
            (record): Change => [
              [record, withRow({ ...record, table: 'current_query' }, { status: 'RUNNING', outcome: null })],
            ],
          ),
      ),
  },
  {
    breaks: 'I7',
    words: 'an engine runs what has ended',
    of: history =>
      history.rows('finished_query').map(({ row }) => [
        [
          null,
          {
            record: 'engine-sample',
            atMs: (endOf(history)?.atMs ?? 0) + hourMs,
            engine: 'duckdb',
            node: null,
            running: 0,
            handles: [row.handle as string],
          },
        ],
      ]),
  },
  {
    breaks: 'I7',
    words: 'an engine runs something when all has ended',
    of: history =>
      history.all
        .filter(record => record.record === 'engine-sample')
        .map(record => [[record, { ...record, running: 1 }]]),
  },

  // ------------------------------------------------------------ I8
  {
    breaks: 'I8',
    words: 'the owner before writes after the claim',
    of: history =>
      history
        .rows('query_transition')
        .filter(isClaim)
        .map(({ row }) => {
          const last = history.transitions(row.handle as string).at(-1) as RowRecord
          return [
            [
              null,
              withRow(last, {
                version: Number(last.row.version) + 1,
                epoch: Number(row.epoch) - 1,
                node: 'n3',
                id: 'zombie',
              }),
            ],
          ]
        }),
  },
  {
    breaks: 'I8',
    words: 'a query is accepted by who was declared dead',
    of: ofRows(
      'finished_query',
      row => Number(row.epoch) === 1,
      ({ row }) => {
        const { owner_incarnation, owner_node, submitted_at } = row as {
          owner_incarnation: string
          owner_node: string
          submitted_at: number
        }
        const fence = {
          id: 'f',
          node_id: owner_node,
          incarnation: owner_incarnation,
          cause: 'lease-expired',
          term: 9,
          detected_at: submitted_at - hourMs,
          done_at: null,
          queries: 0,
        }
        return [[null, { record: 'row', table: 'failover', row: fence }]]
      },
    ),
  },
  {
    breaks: 'I8',
    words: 'who was declared dead writes when its queries are claimed',
    of: ofRows(
      'finished_query',
      () => true,
      ({ row }) => {
        const { owner_incarnation, owner_node, submitted_at } = row as {
          owner_incarnation: string
          owner_node: string
          submitted_at: number
        }
        const at = submitted_at - hourMs
        const fence = {
          id: 'f',
          node_id: owner_node,
          incarnation: owner_incarnation,
          cause: 'lease-expired',
          term: 9,
          detected_at: at,
          done_at: at,
          queries: 0,
        }
        return [[null, { record: 'row', table: 'failover', row: fence }]]
      },
    ),
  },
  {
    breaks: 'I8',
    words: 'a zombie never joins again',
    of: history => {
      const running = endOf(history)?.running ?? []
      return history
        .rows('member', row => row.state === 'alive' && running.includes(row.node_id as string))
        .map(record => [[record]])
    },
  },
  {
    breaks: 'I8',
    words: 'a zombie lives on as who was declared dead',
    of: history =>
      history
        .rows('member', row => row.state === 'alive')
        .map(({ row }) => {
          const fence = {
            id: 'f',
            node_id: row.node_id as string,
            incarnation: row.incarnation as string,
            cause: 'lease-expired',
            term: 9,
            detected_at: 1,
            done_at: 1,
            queries: 0,
          }
          return [[null, { record: 'row', table: 'failover', row: fence }]]
        }),
  },
  {
    breaks: 'I8',
    words: 'a zombie answers what has been',
    of: answeredOtherwise(
      'poll',
      (query, operation, history) =>
        knownBefore(query, operation, history) &&
        history.all.some(
          one =>
            one.record === 'fault' &&
            one.effect === 'silences' &&
            one.node === operation.node &&
            one.beginMs <= operation.beginMs &&
            operation.beginMs <= (one.healMs ?? 0) + 3 * (runOf(history)?.leaseMs ?? 0),
        ),
      earlier,
    ),
  },

  // ------------------------------------------------------------ I9
  {
    breaks: 'I9',
    words: 'a version goes back',
    of: answeredOtherwise('poll', knownBefore, earlier),
  },
  {
    breaks: 'I9',
    words: 'a version is answered that is not there',
    of: answeredOtherwise(
      'poll',
      () => true,
      ({ version }) => ({ version: version + 100 }),
    ),
  },
  {
    breaks: 'I9',
    words: 'a version is another state',
    of: answeredOtherwise(
      'poll',
      () => true,
      ({ epoch }) => ({ epoch: epoch + 1 }),
    ),
  },
  {
    breaks: 'I9',
    words: 'a query is said not to exist',
    of: history => answered(history, 'poll').map(operation => [[operation, refused(operation, 404, 'NOT_FOUND')]]),
  },
  {
    breaks: 'I9',
    words: 'a list leaves a query out',
    of: history =>
      answered(history, 'list').flatMap(operation => {
        const answer = structuredClone(operation.answer) as any
        answer.queries.pop()
        return [[[operation, { ...operation, answer }]]]
      }),
  },
  {
    breaks: 'I9',
    words: 'a list of the newest leaves one out',
    of: history =>
      answered(history, 'list').flatMap(operation => {
        const answer = structuredClone(operation.answer) as any
        if (answer.queries.length < 12) return []
        answer.queries.splice(3, 1)
        answer.queries.length = 10
        return [[[operation, { ...operation, answer: { ...answer, whole: false } }]]]
      }),
  },
  {
    breaks: 'I9',
    words: 'rows that were there are not ready, or gone',
    of: history =>
      answered(history, 'rows').flatMap(operation => [
        [[operation, refused(operation, 409, 'RESULT_NOT_READY')]],
        ...(history.operations('drop').some(({ handle }) => handle === operation.handle)
          ? []
          : [[[operation, refused(operation, 410, 'RESULT_EXPIRED')]] as Change]),
      ]),
  },
  {
    breaks: 'I9',
    words: 'a drop that was answered is not there',
    of: history =>
      answered(history, 'drop').map(({ handle }) =>
        history
          .transitions(handle)
          .filter(step => eventOf(step).type === 'RESULT_DROPPED')
          .map(step => [step] as [HistoryRecord]),
      ),
  },
  {
    breaks: 'I9',
    words: 'an open session is refused',
    of: history =>
      [...answered(history, 'poll'), ...answered(history, 'rows'), ...answered(history, 'list')].map(operation => [
        [operation, refused(operation, 401, 'SESSION_INVALID')],
      ]),
  },
  {
    breaks: 'I9',
    words: 'a closed session is taken',
    of: history =>
      history
        .operations('read-session')
        .filter(({ answer }) => answer && 'code' in answer && answer.code === 'SESSION_INVALID')
        .map(operation => [
          [
            operation,
            { ...operation, answer: { status: 200, target: operation.target, user: operation.user, revision: 0 } },
          ],
        ]),
  },
  {
    breaks: 'I9',
    words: 'a session goes back',
    of: history =>
      answered(history, 'read-session')
        .filter(({ user }) => user === 'alice')
        .map(operation => [[operation, { ...operation, answer: { ...(operation.answer as any), revision: -1 } }]]),
  },
  {
    breaks: 'I9',
    words: 'a query takes along what its session no longer says',
    of: ofRows(
      'finished_query',
      row => row.user === 'alice',
      record => [[record, withRow(record, { properties: JSON.stringify({ revision: '-1' }) })]],
    ),
  },
  {
    breaks: 'I9',
    words: 'an open session is not in the database',
    of: history => {
      const closed = new Set(history.operations('close-session').map(({ target }) => target))
      const opened = new Set(answered(history, 'open-session').map(({ answer }) => (answer as any).opened))
      return history
        .rows('session', row => opened.has(row.id) && !closed.has(row.id as string))
        .map(record => [[record]])
    },
  },

  // ------------------------------------------------------------ I10
  {
    breaks: 'I10',
    words: 'more run at once for a user, and on an engine, than may',
    of: history => [
      history
        .rows('query_transition', row => terminal.has(row.to_status as string))
        .map(step => [step, withRow(step, { at: Number(step.row.at) + hourMs })]),
    ],
  },
  {
    breaks: 'I10',
    words: 'more queue for a user and a lane than may',
    of: history => {
      // Copies of a query that waits for an hour.
      const [record] = history.rows('finished_query', row => row.user === 'bob')
      const steps = history.transitions((record as RowRecord).row.handle as string)
      const { queuedPerUser = 0 } = runOf(history)?.limits ?? {}
      return [
        Array.from({ length: queuedPerUser + 1 }, (_, index) => `copy ${index}`).flatMap(handle => [
          [null, withRow(record as RowRecord, { handle })] as [null, HistoryRecord],
          ...steps.map((step): [null, HistoryRecord] => [
            null,
            withRow(step, {
              handle,
              id: `${handle} ${step.row.id}`,
              at: Number(step.row.at) + (step.row.to_status === 'QUEUED' ? 0 : hourMs),
            }),
          ]),
        ]),
      ]
    },
  },
  {
    breaks: 'I10',
    words: 'a user opens one session more',
    of: history =>
      history
        .operations('open-session')
        .filter(({ answer }) => answer && 'code' in answer && answer.code === 'SESSION_LIMIT')
        .map(operation => [[operation, { ...operation, answer: { status: 201, opened: 'one more' } }]]),
  },

  // ------------------------------------------------------------ I11
  {
    breaks: 'I11',
    words: 'the status of another’s query is answered',
    of: history => {
      const [seen] = answered(history, 'poll')
      return trespasses(history, 'poll').map(operation => [[operation, { ...operation, answer: (seen as any).answer }]])
    },
  },
  {
    breaks: 'I11',
    words: 'another’s rows are answered',
    of: history => {
      const [seen] = answered(history, 'rows')
      return trespasses(history, 'rows').map(operation => [[operation, { ...operation, answer: (seen as any).answer }]])
    },
  },
  {
    breaks: 'I11',
    words: 'another’s session is answered',
    of: history =>
      trespasses(history, 'read-session').map(operation => [
        [operation, { ...operation, answer: { status: 200, target: operation.target, user: 'alice', revision: 1 } }],
      ]),
  },
  {
    breaks: 'I11',
    words: 'a refusal tells that another’s query is there',
    of: history =>
      trespasses(history, 'rows').map(operation => [[operation, refused(operation, 409, 'RESULT_NOT_READY')]]),
  },
  {
    breaks: 'I11',
    words: 'a frame shows another’s query',
    of: history => {
      const users = new Map(history.operations('subscribe').map(({ id, user }) => [id, user]))
      return history.frames.flatMap(frame => {
        const foreign = history.frames.find(({ query }) => query.user !== users.get(frame.subscription))
        return foreign ? [[[null, { ...foreign, subscription: frame.subscription, index: 1e6 }]]] : []
      })
    },
  },
  {
    breaks: 'I11',
    words: 'a list shows another’s query',
    of: history =>
      answered(history, 'list')
        .filter(({ user }) => user !== 'admin')
        .flatMap(operation => {
          const answer = structuredClone(operation.answer) as any
          const foreign = history.frames.find(({ query }) => query.user !== operation.user)
          if (!foreign) return []
          answer.queries.push(foreign.query)
          return [[[operation, { ...operation, answer }]]]
        }),
  },
]
