/**
 * Validating every request in the database without a statement for each: all look-ups that arrive while one is under way
 * share the next. Session and query are read in the same batch, so that a poll costs its share of two statements.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { SessionHost } from '../actors/index.ts'
import { Batcher, type Clock } from '../async/index.ts'
import { LensError } from '../domain/index.ts'
import type { QueryVersion, SessionCheck, SessionRow, Store } from '../store/index.ts'
import type { Principal } from './contract.ts'

interface Lookup {
  readonly sessionId: string | null
  readonly handle: string | null
}

interface Found {
  readonly session: SessionCheck | undefined
  readonly query: QueryVersion | undefined
}

export interface Token {
  readonly sessionId: string
  readonly secret: string
}

/** Null: the user may go on; else resolves when they may, or rejects with RATE_LIMITED. */
export type LookupsAdmit = (user: string) => Promise<void> | null

export interface Validated {
  readonly principal: Principal
  readonly session: SessionRow
  readonly query: QueryVersion | undefined
}

const tokenForm = /^([0-9a-f-]{36})\.([A-Za-z0-9_-]{16,128})$/

export function sessionInvalid(): LensError {
  return new LensError('SESSION_INVALID', 'The session is unknown, closed or expired, or the token is wrong.')
}

export function hashOfSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

export function parseToken(token: string): Token {
  const match = tokenForm.exec(token)
  if (!match) throw sessionInvalid()
  return { sessionId: match[1] as string, secret: match[2] as string }
}

export class Lookups {
  readonly #store: Store
  readonly #sessions: SessionHost
  readonly #admins: ReadonlySet<string>
  readonly #admit: LookupsAdmit
  readonly #batches: Batcher<Lookup, Found>
  readonly #touches: Batcher<string, undefined>

  constructor(
    store: Store,
    sessions: SessionHost,
    admins: readonly string[],
    clock: Clock,
    admit: LookupsAdmit = () => null,
  ) {
    this.#admit = admit
    this.#store = store
    this.#sessions = sessions
    this.#admins = new Set(admins)
    this.#batches = new Batcher({ run: batch => this.#look(batch), clock, flightsMax: 2, sizeMax: 200 })
    this.#touches = new Batcher({
      run: async ids => {
        await store.sessions.touch([...new Set(ids)])
        return ids.map(() => undefined)
      },
      clock,
      flightsMax: 1,
      sizeMax: 500,
    })
  }

  /** Validates a token, and finds the version of a query in the same batch. */
  async validate(token: string, handle: string | null = null): Promise<Validated> {
    const { sessionId, secret } = parseToken(token)
    const { session: check, query } = await this.#batches.add({ sessionId, handle })
    const session = await this.#sessions.follow(sessionId, check)
    if (!check || !session || !sameSecret(check.secretHash, hashOfSecret(secret))) throw sessionInvalid()
    const admitted = this.#admit(session.user)
    if (admitted) await admitted
    await this.#touch(check)
    return { principal: this.principalOf(session), session, query }
  }

  /** Is this session still good? For what stays open: long polls, subscriptions. */
  async stillOpen(sessionId: string): Promise<boolean> {
    const { session } = await this.#batches.add({ sessionId, handle: null })
    if ((await this.#sessions.follow(sessionId, session)) === null) return false
    if (session) await this.#touch(session)
    return true
  }

  async version(handle: string): Promise<QueryVersion | undefined> {
    return (await this.#batches.add({ sessionId: null, handle })).query
  }

  /** The query, if it exists and the caller may see it. */
  async visible(principal: Principal, handle: string): Promise<QueryVersion> {
    return mustSee(principal, await this.version(handle))
  }

  principalOf({ id, user, admin }: Pick<SessionRow, 'id' | 'user' | 'admin'>): Principal {
    return { sessionId: id, user, admin: admin || this.#admins.has(user) }
  }

  // Use counts before the answer, but is written only when the stored time is old enough to matter.
  async #touch(check: SessionCheck): Promise<void> {
    const staleAfterMs = Math.min(60_000, check.idleMs / 10)
    if (check.unusedMs >= staleAfterMs) await this.#touches.add(check.id)
  }

  async #look(batch: readonly Lookup[]): Promise<readonly Found[]> {
    const ids = [...new Set(batch.flatMap(({ sessionId }) => (sessionId === null ? [] : [sessionId])))]
    const handles = [...new Set(batch.flatMap(({ handle }) => (handle === null ? [] : [handle])))]
    const [checks, versions] = await Promise.all([
      ids.length > 0 ? this.#store.sessions.check(ids) : [],
      handles.length > 0 ? this.#store.queries.versions(handles) : [],
    ])
    const byId = new Map(checks.map(check => [check.id, check]))
    const byHandle = new Map(versions.map(version => [version.handle, version]))
    return batch.map(({ sessionId, handle }) => ({
      session: sessionId === null ? undefined : byId.get(sessionId),
      query: handle === null ? undefined : byHandle.get(handle),
    }))
  }
}

export function mustSee(principal: Principal, version: QueryVersion | undefined): QueryVersion {
  if (!version || (version.user !== principal.user && !principal.admin))
    throw new LensError('NOT_FOUND', 'There is no such query.')
  return version
}

function sameSecret(stored: string, given: string): boolean {
  const left = Buffer.from(stored, 'hex')
  const right = Buffer.from(given, 'hex')
  return left.length === right.length && timingSafeEqual(left, right)
}
