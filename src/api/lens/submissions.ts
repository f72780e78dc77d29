/** What the calls that execute something have in common: operations, configuration, and the waiting for an end. */
import { isErrorCode, LensError, type QueryView } from '../../domain/index.ts'
import type { Principal, SubmitRequest } from '../../gateway/index.ts'
import type { ApiContext } from '../context.ts'
import { whileConnected } from '../departure.ts'
import type { Call } from './call.ts'
import { propertiesOf } from './reading.ts'
import { WireRefusal, wireCodes } from './refusals.ts'
import { parametersOf } from './sessions.ts'

const timeoutDefaultMs = 30_000
/** Three weeks, which timers can still count; some clients say "for ever" with the greatest of numbers. */
const timeoutMaxMs = 21 * 86_400_000

/** Throws 2003 unless the operation is one of these. */
export function operationOf<Name extends string>(call: Call, supported: readonly Name[], absent?: Name): Name {
  const text = call.text('operation')?.trim() ?? ''
  const name = (text === '' && absent !== undefined ? absent : text).toUpperCase()
  if (!(supported as readonly string[]).includes(name))
    throw new WireRefusal(
      wireCodes.operationUnsupported,
      `Provided operation is not supported, expected one of ${supported.join(', ')}`,
      supported,
    )
  return name as Name
}

/** Throws 2002 where there is none. */
export function statementOf(call: Call, { config }: ApiContext): string {
  const sql = call.text('query')
  if (sql === undefined || sql.trim() === '')
    throw new WireRefusal(wireCodes.queryBlank, 'Query string cannot be null, empty or blank.')
  if (sql.includes('\0')) throw new WireRefusal(wireCodes.parameterInvalid, 'query: expected text without NUL')
  const bytes = Buffer.byteLength(sql)
  if (bytes > config.limits.sqlBytesMax)
    throw new LensError('TOO_LARGE', `query has ${bytes} bytes, expected at the most ${config.limits.sqlBytesMax}`)
  return sql
}

export function nameOf(call: Call): string | null {
  const name = call.text('queryName')?.trim() ?? ''
  if (name === '') return null
  if (!/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,255}$/u.test(name))
    throw new WireRefusal(wireCodes.parameterInvalid, 'queryName: expected 1 to 255 printable characters')
  return name
}

export const asynchronous = (call: Call) =>
  ({ name: nameOf(call), properties: propertiesOf(call.text('conf')) }) satisfies Partial<SubmitRequest>

/** The query is ended by its deadline so long after its time-out, should nobody be left who cancels it then. */
const deadlineSlackMs = 5_000

/**
 * Waits as long as `timeoutmillis` says; then the query is cancelled, unless session or `conf` say that it goes on. It is a query like
 * any other: when the node that waits leaves, the answer comes early, with its handle; when it dies, others go on with it.
 */
export async function synchronous(call: Call, principal: Principal, { gateway, config }: ApiContext) {
  const request = asynchronous(call)
  const session = parametersOf(await gateway.session(principal, principal.sessionId))
  const cancel = { ...session, ...request.properties }['lens.query.cancel.on.timeout']
  const timeoutMs = Math.min(call.count('timeoutmillis') ?? timeoutDefaultMs, timeoutMaxMs)
  const waitMs = Math.min(timeoutMs, config.limits.syncMs)
  const endsWithTimeout = cancel?.trim().toLowerCase() !== 'false'
  return {
    request: {
      ...request,
      // A wait that the node cuts short is not the client's time-out: the query has the rest of it.
      ...{ mode: 'async' as const, waitMs, cancelOnTimeout: endsWithTimeout && waitMs === timeoutMs },
      ...(endsWithTimeout ? { deadlineMs: timeoutMs + deadlineSlackMs } : {}),
    },
    signal: whileConnected(call.reply),
  }
}

/** The end of an estimate or an explanation, which the client waits for. */
export async function examined(
  call: Call,
  principal: Principal,
  context: ApiContext,
  operation: 'estimate' | 'explain',
  sql: string,
): Promise<QueryView> {
  const { gateway, config } = context
  const { kind, query } = await gateway.submit(
    principal,
    { ...asynchronous(call), sql, operation, mode: 'sync', timeoutMs: config.limits.syncMs, cancelOnTimeout: true },
    null,
    whileConnected(call.reply),
  )
  if (query.status === 'SUCCESSFUL') return query
  if (query.error) {
    // As itself: an engine that is away may be asked again, one that failed the statement not.
    const { code, message } = query.error
    throw new LensError(isErrorCode(code) ? code : 'EXECUTION_FAILED', message, { handle: query.handle })
  }
  // Somebody found it in a listing; asked again, it would be done.
  if (kind === 'ended') throw new LensError('EXECUTION_FAILED', `Somebody cancelled this ${operation}.`)
  throw new LensError('ENGINE_UNAVAILABLE', `The engine did not ${operation} the query in time.`)
}
