/**
 * The gateway with an audit log before it. What reads or changes something for somebody is written down with its outcome before it
 * is answered; everything else, polls above all, goes through as it is.
 */
import { LensError } from '../domain/index.ts'
import type { AuditEntry, AuditEvent, AuditLog } from '../observability/index.ts'
import type { Gateway, Origin, Principal, SubmitOutcome, SubmitRequest } from './contract.ts'

type Details = NonNullable<AuditEntry['details']>
type Audited = Pick<
  Gateway,
  | 'openSession'
  | 'changeSession'
  | 'closeSession'
  | 'submit'
  | 'executePrepared'
  | 'prepare'
  | 'cancel'
  | 'dropResult'
  | 'rows'
  | 'download'
  | 'drain'
  | 'logLevels'
  | 'webhooks'
>

/** A statement may be a megabyte; the whole is in the query. */
const sqlCharactersMax = 1_000

export function audited<G extends Gateway>(gateway: G, log: Pick<AuditLog, 'record'>): G {
  const deeds = auditedDeeds(gateway, log) as Partial<Record<PropertyKey, unknown>>
  const bound = new Map<PropertyKey, unknown>()
  return new Proxy(gateway, {
    get(target, name) {
      if (name in deeds) return deeds[name]
      const known = bound.get(name)
      if (known) return known
      const value = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      const method = value.bind(target)
      bound.set(name, method)
      return method
    },
  })
}

function auditedDeeds(gateway: Gateway, log: Pick<AuditLog, 'record'>): Audited {
  const who = ({ user, sessionId, origin }: Principal) => ({ user, session: sessionId, ...(origin ?? {}) })
  async function record<T>(
    event: AuditEvent,
    known: Omit<AuditEntry, 'event' | 'outcome'>,
    deed: () => Promise<T>,
    learnt: (answer: T) => Partial<AuditEntry> = () => ({}),
  ): Promise<T> {
    try {
      const answer = await deed()
      log.record({ event, outcome: 'ok', ...known, ...learnt(answer) })
      return answer
    } catch (error) {
      log.record({ event, outcome: error instanceof LensError ? error.code : 'INTERNAL', ...known })
      throw error
    }
  }
  const submitted = (answer: SubmitOutcome) => ({ handle: answer.query.handle })
  return {
    openSession: (request, key) => {
      const { user, admin = false, origin } = request
      return record(
        'session.opened',
        { user, ...(origin ?? ({} as Partial<Origin>)), details: { admin } },
        () => gateway.openSession(request, key),
        ({ session }) => ({ session: session.id }),
      )
    },
    changeSession: (principal, id, change) =>
      record(
        'session.changed',
        { ...who(principal), details: { id, names: Object.keys(change.properties ?? {}).join(' ') } },
        () => gateway.changeSession(principal, id, change),
      ),
    closeSession: (principal, id, cancelQueries) =>
      record('session.closed', { ...who(principal), details: { id, cancelQueries } }, () =>
        gateway.closeSession(principal, id, cancelQueries),
      ),
    submit: (principal, request, key, signal) =>
      record(
        'query.submitted',
        { ...who(principal), details: statementOf(request) },
        () => gateway.submit(principal, request, key, signal),
        submitted,
      ),
    executePrepared: (principal, prepared, request, key, signal) =>
      record(
        'query.submitted',
        { ...who(principal), details: { prepared } },
        () => gateway.executePrepared(principal, prepared, request, key, signal),
        submitted,
      ),
    prepare: (principal, request) =>
      record(
        'statement.prepared',
        { ...who(principal), details: { sql: request.sql.slice(0, sqlCharactersMax) } },
        () => gateway.prepare(principal, request),
        ({ handle }) => ({ handle }),
      ),
    cancel: (principal, handle) =>
      record('query.cancelled', { ...who(principal), handle }, () => gateway.cancel(principal, handle)),
    dropResult: (principal, handle) =>
      record('result.dropped', { ...who(principal), handle }, () => gateway.dropResult(principal, handle)),
    rows: (principal, handle, offset, limit) =>
      record('rows.read', { ...who(principal), handle, details: { offset, limit } }, () =>
        gateway.rows(principal, handle, offset, limit),
      ),
    download: (principal, handle, format, offset) =>
      record('rows.read', { ...who(principal), handle, details: { offset, format } }, () =>
        gateway.download(principal, handle, format, offset),
      ),
    drain: (principal, node) =>
      record('node.drained', { ...who(principal), details: { node } }, () => gateway.drain(principal, node)),
    logLevels: (principal, node, change) => {
      const deed = () => gateway.logLevels(principal, node, change)
      const details = { on: node, ...change }
      return change ? record('log-level.changed', { ...who(principal), details }, deed) : deed()
    },
    webhooks: {
      list: principal => gateway.webhooks.list(principal),
      deliveries: (principal, request) => gateway.webhooks.deliveries(principal, request),
      again: (principal, webhook, handle) =>
        record('delivery.repeated', { ...who(principal), handle, details: { webhook } }, () =>
          gateway.webhooks.again(principal, webhook, handle),
        ),
    },
  }
}

function statementOf({ sql, operation = 'execute', engine = null }: SubmitRequest): Details {
  return { operation, engine, sql: sql.slice(0, sqlCharactersMax) }
}
