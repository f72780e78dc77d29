/** Opening, reading, changing and closing sessions. */
import { createHash } from 'node:crypto'
import type { SessionHost } from '../actors/index.ts'
import type { Random } from '../async/index.ts'
import { LensError, type SessionView } from '../domain/index.ts'
import type { SessionRow, Store } from '../store/index.ts'
import type { OpenSessionRequest, Principal } from './contract.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { hashOfSecret, sessionInvalid } from './lookups.ts'
import type { PeerPort } from './ports.ts'
import type { GatewaySettings } from './settings.ts'
import type { StatementChecks } from './statement-checks.ts'

export interface SessionDeskOptions {
  readonly checks: StatementChecks
  readonly store: Store
  readonly sessions: SessionHost
  readonly settings: GatewaySettings
  readonly peers: PeerPort
  readonly random: Random
  readonly nodeId: string
  /** Secrets of the cluster: the tokens of openings with a key are derived from the first, and may have been from the others. */
  readonly tokenSecrets: readonly string[]
  readonly now: () => string
  readonly sessionClosed: (ids: readonly string[]) => void
  readonly cancelled: (handles: readonly string[]) => void
}

export class SessionDesk {
  readonly #options: SessionDeskOptions

  constructor(options: SessionDeskOptions) {
    this.#options = options
  }

  async open(
    request: OpenSessionRequest,
    idempotencyKey: string | null,
  ): Promise<{ session: SessionView; token: string }> {
    const { store, sessions, settings, random, nodeId, checks } = this.#options
    const { user, admin = false, database = null, properties = {}, secretForm } = request
    checkProperties(properties, settings.propertiesBytesMax)
    if (request.databaseChecked && database !== null && !(await checks.hasDatabase(database)))
      throw new LensError('NOT_FOUND', `Database ${database} does not exist`)
    const id = random.uuid()
    // A repetition with the same key must be given the same token, and the database holds no secret: so it is derived.
    const drawn = () => (secretForm === 'uuid' ? random.uuid() : random.secret(32))
    const derived = (sessionId: string, key: string) =>
      this.#options.tokenSecrets.map(secret => derivedSecret(secret, sessionId, user, key))
    const secret = idempotencyKey === null ? drawn() : (derived(id, idempotencyKey)[0] as string)
    const answer = await store.sessions.open(
      {
        id,
        user,
        secretHash: hashOfSecret(secret),
        database,
        properties,
        idleMs: settings.sessionIdleMs,
        admin,
        node: nodeId,
        idempotencyKey,
        requestHash: idempotencyKey === null ? null : hashOf({ user, admin: admin || undefined, database, properties }),
      },
      settings.sessionsPerUser,
    )
    if (answer.kind === 'limit')
      throw new LensError(
        'SESSION_LIMIT',
        `The user has ${answer.limit} open sessions in the cluster, as many as allowed.`,
        { retryAfterMs: 1_000 },
      )
    if (answer.kind === 'duplicate') {
      if (!answer.sameRequest)
        throw new LensError('CONFLICT', 'The Idempotency-Key was used before with other content.')
      // One that is closing or has expired counts as absent; its token would be good for nothing.
      const [check] = answer.session ? await store.sessions.check([answer.session.id]) : []
      if (!answer.session || check?.status !== 'OPEN' || check.expired) throw sessionInvalid()
      // The node that opened it may have had another secret first.
      const given = derived(answer.session.id, idempotencyKey as string).find(
        candidate => hashOfSecret(candidate) === check.secretHash,
      )
      if (given === undefined) throw sessionInvalid()
      return { session: viewOfSession(answer.session), token: `${answer.session.id}.${given}` }
    }
    sessions.adopt(answer.session)
    return { session: viewOfSession(answer.session), token: `${id}.${secret}` }
  }

  async list(principal: Principal, limit: number, cursor?: string) {
    const rows = await this.#options.store.sessions.list(
      principal.admin ? null : principal.user,
      limit + 1,
      decodeCursor(cursor, 'createdAt', 'id'),
    )
    const page = rows.slice(0, limit)
    const last = page.at(-1)
    const nextCursor = rows.length > limit && last ? encodeCursor({ createdAt: last.createdAt, id: last.id }) : null
    return { sessions: page.map(viewOfSession), nextCursor }
  }

  /** The caller's own, who was validated for this very request: so what is in memory is what the row had then. */
  async ofCaller(principal: Principal): Promise<SessionRow> {
    return this.#options.sessions.known(principal.sessionId) ?? (await this.read(principal, principal.sessionId))
  }

  async read(principal: Principal, id: string): Promise<SessionRow> {
    const row = await this.#options.store.sessions.read(id)
    if (row?.status !== 'OPEN' || (row.user !== principal.user && !principal.admin))
      // Its own session was there when it was validated: it was closed meanwhile.
      throw id === principal.sessionId ? sessionInvalid() : new LensError('NOT_FOUND', 'There is no such session.')
    return row
  }

  async change(
    principal: Principal,
    id: string,
    change: { database?: string | null; properties?: Readonly<Record<string, string | null>> },
  ): Promise<SessionView> {
    const before = await this.read(principal, id)
    const kept = Object.entries({ ...before.properties, ...change.properties }).filter(([, value]) => value !== null)
    checkProperties(Object.fromEntries(kept) as Record<string, string>, this.#options.settings.propertiesBytesMax)
    const event = {
      type: 'CHANGED' as const,
      at: this.#options.now(),
      properties: change.properties ?? {},
      ...(change.database === undefined ? {} : { database: change.database }),
    }
    return viewOfSession(await this.#options.sessions.move(id, event))
  }

  /** Obeyed by every node from the answer on: the row is CLOSING or gone before it. */
  async close(principal: Principal, id: string, cancelQueries: boolean): Promise<void> {
    const { store, sessions, nodeId, peers } = this.#options
    await this.read(principal, id)
    await sessions.move(id, { type: 'CLOSE_REQUESTED', at: this.#options.now() })
    if (cancelQueries) this.#options.cancelled(await store.queries.requestCancelOfSession(id))
    await store.sessions.removeClosed(id, nodeId)
    this.#options.sessionClosed([id])
    peers.sessionClosed([id])
  }
}

function derivedSecret(secret: string, sessionId: string, user: string, key: string): string {
  return createHash('sha256')
    .update(JSON.stringify(['session', secret, sessionId, user, key]))
    .digest('base64url')
}

export function viewOfSession(row: SessionRow): SessionView {
  const { id, user, database, properties, status, createdAt, lastUsedAt, idleMs } = row
  const expiresAt = new Date(Date.parse(lastUsedAt) + idleMs).toISOString()
  return { id, user, database, properties, status, createdAt, expiresAt }
}

export function hashOf(content: unknown): string {
  return createHash('sha256').update(canonical(content)).digest('hex')
}

/** JSON with sorted keys and without absent fields: the same content gives the same text. */
function canonical(content: unknown): string {
  if (Array.isArray(content)) return `[${content.map(canonical).join(',')}]`
  if (typeof content !== 'object' || content === null) return JSON.stringify(content) ?? 'null'
  const fields = Object.entries(content).filter(([, value]) => value !== undefined)
  fields.sort(([left], [right]) => (left < right ? -1 : 1))
  return `{${fields.map(([key, value]) => `${JSON.stringify(key)}:${canonical(value)}`).join(',')}}`
}

export function checkProperties(properties: Readonly<Record<string, string>>, bytesMax: number): void {
  if (Buffer.byteLength(JSON.stringify(properties)) > bytesMax)
    throw new LensError('TOO_LARGE', `properties: together they may have ${bytesMax} bytes as JSON.`)
}
