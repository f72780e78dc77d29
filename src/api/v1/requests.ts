/** What clients may send: schemas of bodies, queries and paths, and the checks that no schema can say. */
import { Type } from 'typebox'
import { LensError, lanes, priorities, QueryStatus, type WireValue } from '../../domain/index.ts'
import { propertiesMax } from '../bounds.ts'
import type { ApiConfig } from '../context.ts'
import { invalid } from '../problem.ts'

const closed = { additionalProperties: false } as const
type Limits = ApiConfig['limits']

/** Printable, with letters of any script, nothing that turns a log line or a terminal around. */
const nameText = (description: string, maxLength = 255) =>
  Type.String({ minLength: 1, maxLength, pattern: '^[^\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]+$', description })
const nameOrNull = (description: string) =>
  Type.Unsafe<string | null>({
    type: ['string', 'null'],
    minLength: 1,
    maxLength: 255,
    pattern: '^[^\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]+$',
    description,
  })
const sqlText = Type.String({ minLength: 1, pattern: '^[^\\u0000]+$', description: 'One SQL statement, without NUL.' })

const propertyName = '^[\\x21-\\x7e]{1,255}$'
const propertyValue = Type.String({ pattern: '^[^\\u0000]*$', description: 'Text without NUL.' })
const properties = Type.Record(Type.String({ pattern: propertyName }), propertyValue, {
  ...closed,
  maxProperties: propertiesMax,
  description: 'Names of printable ASCII without spaces; values are strings.',
})
const propertyChanges = Type.Record(
  Type.String({ pattern: propertyName }),
  Type.Unsafe<string | null>({ type: ['string', 'null'], pattern: '^[^\\u0000]*$', description: 'text without NUL' }),
  { ...closed, maxProperties: propertiesMax, description: 'A value sets a property, null removes it.' },
)

export const OpenSession = Type.Object(
  {
    user: Type.Optional(nameText('A user name: 1–128 printable characters.', 128)),
    database: Type.Optional(nameOrNull('Where unqualified names are looked up.')),
    properties: Type.Optional(properties),
  },
  closed,
)

export const ChangeSession = Type.Object(
  {
    database: Type.Optional(nameOrNull('Where unqualified names are looked up; null: nowhere in particular.')),
    properties: Type.Optional(propertyChanges),
  },
  closed,
)

const msMax = 2 ** 31 - 1

/** Everything of a submission but what is executed. */
const execution = (limits: Limits) => ({
  operation: Type.Optional(Type.Enum(['execute', 'estimate', 'explain'], { default: 'execute' })),
  mode: Type.Optional(Type.Enum(['async', 'sync'], { default: 'async' })),
  timeoutMs: Type.Optional(
    Type.Integer({ minimum: 0, maximum: limits.syncMs, description: 'Mode `sync`: how long to wait for the end.' }),
  ),
  cancelOnTimeout: Type.Optional(
    Type.Boolean({ description: 'Mode `sync`: cancel at the time-out instead of going on asynchronously.' }),
  ),
  name: Type.Optional(nameOrNull('A name for people: 1–255 printable characters.')),
  lane: Type.Optional(Type.Enum([...lanes, 'auto'], { description: '`auto`: the estimated cost chooses.' })),
  priority: Type.Optional(Type.Enum([...priorities])),
  deadlineMs: Type.Optional(
    Type.Unsafe<number | null>({
      type: ['integer', 'null'],
      minimum: 1,
      maximum: msMax,
      description: 'The whole query may not take longer.',
    }),
  ),
  onRecovery: Type.Optional(
    Type.Enum(['auto', 'rerun', 'fail'], {
      description: 'When its node is lost: `auto` reruns only what is safe to repeat.',
    }),
  ),
  properties: Type.Optional(properties),
  parameters: Type.Optional(
    Type.Array(Type.Unsafe<WireValue>({}), {
      maxItems: limits.parametersMax,
      description: 'Values of the parameters, in order; integers beyond 2^53 as strings.',
    }),
  ),
})

const engineName = nameOrNull("An engine's or group's name; without it the default engine.")

export const submitQuery = (limits: Limits) =>
  Type.Object({ sql: sqlText, engine: Type.Optional(engineName), ...execution(limits) }, closed)

export const executePrepared = (limits: Limits) => Type.Object(execution(limits), closed)

export const prepareQuery = Type.Object(
  { sql: sqlText, name: Type.Optional(nameOrNull('A name for people.')), engine: Type.Optional(engineName) },
  closed,
)

/** Handles and session ids are UUIDs; anything else names nothing, and is told so. */
export const uuid = (description: string) =>
  Type.String({ pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$', description })
export const handlePath = Type.Object({ handle: uuid('a handle (UUID)') })
export const sessionPath = Type.Object({ id: uuid('the id of a session (UUID)') })
export const namePath = (what: string) => ({ [what]: nameText(`a name of printable characters`) })

const cursor = Type.String({
  minLength: 1,
  maxLength: 1024,
  pattern: '^[\\x21-\\x7e]+$',
  description: '`nextCursor` of the page before',
})
export const page = (limits: Limits) => ({
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: limits.listMax,
      default: Math.min(100, limits.listMax),
      description: 'Entries at the most.',
    }),
  ),
  cursor: Type.Optional(cursor),
})

const instant = (description: string) =>
  Type.String({
    pattern: '^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}(:\\d{2}(\\.\\d{1,9})?)?(Z|[+-]\\d{2}:\\d{2}))?$',
    description,
  })

export const listQueries = (limits: Limits) =>
  Type.Object(
    {
      status: Type.Optional(
        Type.Array(Type.Enum(Object.values(QueryStatus)), {
          maxItems: 32,
          description: 'One or more statuses, repeated or separated by commas.',
        }),
      ),
      user: Type.Optional(nameText('Whose; admins may name anyone, or `*` for all.', 128)),
      engine: Type.Optional(nameText('An engine.')),
      name: Type.Optional(nameText('The name given at the submission.')),
      from: Type.Optional(instant('an ISO 8601 date, or date and time with zone; submitted at or after it')),
      to: Type.Optional(instant('an ISO 8601 date, or date and time with zone; submitted before it')),
      ...page(limits),
    },
    closed,
  )

/** Text of `from` and `to` → ISO 8601 in UTC. Throws REQUEST_INVALID where the calendar has no such day. */
export function instantOf(text: string | undefined, field: string): string | undefined {
  if (text === undefined) return undefined
  const milliseconds = Date.parse(text)
  // The database's dates begin later than JavaScript's.
  if (Number.isNaN(milliseconds) || milliseconds < 0)
    throw invalid(`query.${field}: expected an ISO 8601 date from 1970 on`)
  return new Date(milliseconds).toISOString()
}

/** Bytes, where the schema counts characters. Throws TOO_LARGE. */
export function checkSize(
  body: { sql?: string; properties?: Readonly<Record<string, string | null>> },
  limits: Limits,
): void {
  if (body.sql !== undefined) {
    const bytes = Buffer.byteLength(body.sql)
    if (bytes > limits.sqlBytesMax)
      throw new LensError('TOO_LARGE', `body.sql has ${bytes} bytes, expected at the most ${limits.sqlBytesMax}`)
  }
  if (body.properties !== undefined) {
    let bytes = 0
    for (const [name, value] of Object.entries(body.properties)) bytes += name.length + Buffer.byteLength(value ?? '')
    if (bytes > limits.propertiesBytesMax)
      throw new LensError(
        'TOO_LARGE',
        `body.properties has ${bytes} bytes, expected at the most ${limits.propertiesBytesMax}`,
      )
  }
}

/** The `Idempotency-Key` header, or null. Throws REQUEST_INVALID. */
export function idempotencyKey(header: string | string[] | undefined): string | null {
  if (header === undefined) return null
  if (typeof header !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(header))
    throw invalid('header idempotency-key: expected 1 to 255 printable ASCII characters')
  return header
}
