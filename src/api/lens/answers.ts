/** What the gateway shows, as Lens's elements. */
import { type Column, isFinished, type PreparedQueryView, type QueryView, type WireValue } from '../../domain/index.ts'
import type { SubmitOutcome } from '../../gateway/index.ts'
import { Bare, type Content, type Document, Entries, type Members, Typed } from './document.ts'

export const apiResult = (status: 'SUCCEEDED' | 'PARTIAL' | 'FAILED', message: string): Document => ({
  root: 'apiResult',
  content: { status, message },
})

export const stringList = (elements: readonly string[]): Document => ({
  root: 'stringList',
  content: { elements: new Bare(elements) },
})

/** `data` of a submission, which tells its type. */
export const lensApiResult = (id: string, type: string, data: Members): Document => ({
  root: 'lensAPIResult',
  content: { id, data: new Typed(type, data) },
})

export const queryHandle = ({ handle }: { readonly handle: string }): Members => ({ handleId: handle })
export const prepareHandle = ({ handle }: { readonly handle: string }): Members => ({ prepareHandleId: handle })

const epochMs = (at: string | null): number => (at === null ? 0 : Date.parse(at))

export function statusOf(query: QueryView): Members {
  const { status, progress, error, result, queuePosition } = query
  return {
    progress: status === 'SUCCESSFUL' ? 1 : (progress.fraction ?? 0),
    status,
    statusMessage: error ? `Query ${status.toLowerCase()}` : `Query is ${status.toLowerCase()}`,
    isResultSetAvailable: status === 'SUCCESSFUL' && result !== null,
    queueNumber: queuePosition ?? undefined,
    progressMessage: progress.message === '' ? undefined : progress.message,
    errorMessage: error?.message,
  }
}

/** A `LensConf`. */
export const confOf = (properties: Readonly<Record<string, string>>): Members => ({
  properties: new Entries(properties),
})

/** `properties`: with which it runs, if that is known. */
export function lensQuery(query: QueryView, properties?: Readonly<Record<string, string>>): Members {
  const { status, engine, name, submittedAt, launchedAt, startedAt, finishedAt } = query
  return {
    queryHandle: queryHandle(query),
    userQuery: query.sql,
    submittedUser: query.user,
    priority: query.priority.toUpperCase(),
    isPersistent: true,
    selectedDriverName: engine ?? undefined,
    driverQuery: engine === null ? undefined : query.sql,
    status: statusOf(query),
    queryConf: properties && confOf(properties),
    submissionTime: epochMs(submittedAt),
    launchTime: epochMs(launchedAt),
    driverStartTime: epochMs(startedAt),
    driverFinishTime: isFinished(status) && startedAt !== null ? epochMs(finishedAt) : 0,
    finishTime: epochMs(finishedAt),
    closedTime: 0,
    queryName: name ?? undefined,
    failedAttempts: query.failedAttempts.map(({ engine: driverName, message, at }) => ({
      driverName: driverName ?? undefined,
      progress: 0,
      errorMessage: message,
      driverStartTime: 0,
      driverFinishTime: epochMs(at),
    })),
  }
}

export function lensPreparedQuery(prepared: PreparedQueryView): Members {
  const { sql, createdAt, user, engine } = prepared
  return {
    prepareHandle: prepareHandle(prepared),
    userQuery: sql,
    preparedTime: createdAt,
    preparedUser: user,
    selectedDriverName: engine,
    driverQuery: sql,
  }
}

export function queryCost(query: QueryView): Members {
  const { estimate } = query
  return {
    estimatedResourceUsage: estimate?.cost,
    costType: estimate?.lane === 'heavy' ? 'HIGH' : 'LOW',
  }
}

/** Plan of an explained query; `prepared` when the statement was prepared with it. */
export function queryPlan(query: QueryView, prepared?: PreparedQueryView): Members {
  return {
    hasSubQuery: false,
    execMode: query.estimate?.lane === 'heavy' ? 'BATCH' : 'INTERACTIVE',
    prepareHandle: prepared && prepareHandle(prepared),
    planString: formEncoded(query.plan ?? ''),
    queryCost: queryCost(query),
  }
}

/** As `URLEncoder` of Java writes it, which the clients undo. */
function formEncoded(text: string): string {
  return new URLSearchParams({ x: text }).toString().slice(2)
}

/** Lens's types of columns, and how values of each are called: by the engine's name of the type, without its arguments. */
const types: Readonly<Record<string, readonly [column: string, value: string]>> = {
  BOOLEAN: ['BOOLEAN', 'boolean'],
  BOOL: ['BOOLEAN', 'boolean'],
  TINYINT: ['TINYINT', 'byte'],
  SMALLINT: ['SMALLINT', 'short'],
  UTINYINT: ['SMALLINT', 'short'],
  INTEGER: ['INT', 'int'],
  INT: ['INT', 'int'],
  INT4: ['INT', 'int'],
  INT2: ['SMALLINT', 'short'],
  INT8: ['BIGINT', 'long'],
  USMALLINT: ['INT', 'int'],
  MEDIUMINT: ['INT', 'int'],
  UINTEGER: ['BIGINT', 'long'],
  BIGINT: ['BIGINT', 'long'],
  FLOAT: ['FLOAT', 'float'],
  REAL: ['FLOAT', 'float'],
  FLOAT4: ['FLOAT', 'float'],
  DOUBLE: ['DOUBLE', 'double'],
  'DOUBLE PRECISION': ['DOUBLE', 'double'],
  FLOAT8: ['DOUBLE', 'double'],
  UBIGINT: ['DECIMAL', 'decimal'],
  HUGEINT: ['DECIMAL', 'decimal'],
  UHUGEINT: ['DECIMAL', 'decimal'],
  DECIMAL: ['DECIMAL', 'decimal'],
  NUMERIC: ['DECIMAL', 'decimal'],
  DATE: ['DATE', 'string'],
  TIMESTAMP: ['TIMESTAMP', 'string'],
  DATETIME: ['TIMESTAMP', 'string'],
  'TIMESTAMP WITH TIME ZONE': ['TIMESTAMP', 'string'],
  TIMESTAMPTZ: ['TIMESTAMP', 'string'],
  BLOB: ['BINARY', 'string'],
  BYTEA: ['BINARY', 'string'],
  VARBINARY: ['BINARY', 'string'],
}

function typeOf({ type }: Column): readonly [column: string, value: string] {
  const name = type.toUpperCase()
  return types[name.replace(/\s*\(.*$/, '').trim()] ?? ['STRING', 'string']
}

export function resultSetMetadata(columns: readonly Column[]): Members {
  return { columns: columns.map(column => ({ name: column.name, type: typeOf(column)[0] })) }
}

/** One element of `rows`. */
export function resultRow(columns: readonly Column[], row: readonly WireValue[]): Members {
  return { values: row.map((value, index) => resultValue(value, columns[index] as Column)) }
}

function resultValue(value: WireValue, column: Column): Content {
  if (value === null) return null
  const [, type] = typeOf(column)
  if (typeof value === 'object') return new Typed('string', JSON.stringify(value))
  // Infinity and NaN are words of XML Schema too, written otherwise.
  if ((type === 'double' || type === 'float') && typeof value === 'string')
    return new Typed(type, { Infinity: 'INF', '-Infinity': '-INF' }[value] ?? value)
  if (type === 'string') return new Typed('string', String(value))
  return new Typed(type, value)
}

/** A result that is read over HTTP instead of inline. */
export function persistentResult(query: QueryView, baseUrl: string): Members {
  const url = `${baseUrl}/queryapi/queries/${query.handle}/httpresultset`
  return {
    persistedURI: url,
    numRows: query.result?.rowCount ?? 0,
    fileSize: query.result?.bytes ?? 0,
    httpResultUrl: url,
  }
}

/** What a call that waited for the end of its query answers: always the status, the rows where they fit. */
export function queryHandleWithResultSet(outcome: SubmitOutcome, baseUrl: string): Members {
  const { query } = outcome
  const rowless = outcome.kind === 'accepted' || outcome.columns === null || query.result === null
  if (rowless) return { queryHandle: queryHandle(query), status: statusOf(query) }
  const { columns, rows, nextOffset } = outcome
  const inline = rows !== null && nextOffset === null
  return {
    queryHandle: queryHandle(query),
    result: inline
      ? new Typed('inMemoryQueryResult', { rows: rows.map(row => resultRow(columns as Column[], row)) })
      : new Typed('persistentQueryResult', persistentResult(query, baseUrl)),
    resultMetadata: resultSetMetadata(columns as Column[]),
    status: statusOf(query),
  }
}
