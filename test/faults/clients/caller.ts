/**
 * One client's requests, each recorded with what came back. No answer in time is no answer: then nobody knows what became of
 * the request, and the record says so.
 */
import type { SeededRandom } from '../../simulation/random.ts'
import {
  monotonicMs,
  type Operation,
  type OperationBase,
  type Refusal,
  type RowsSeen,
  rowsSeen,
  type SeenQuery,
  seenQuery,
} from '../history.ts'
import type { Recorder } from './recorder.ts'

export interface NodeAddress {
  readonly name: string
  readonly url: string
}

export interface Session {
  readonly id: string
  readonly token: string
}

/** `lost`: no answer came. */
export interface Reply {
  readonly status: number | 'lost'
  readonly body: any
}

const answerWithinMs = 3000
const avoidedMs = 800

interface Asked {
  readonly method: string
  readonly path: string
  readonly body?: unknown
  readonly key?: string | null
  readonly extraMs?: number
  readonly session?: Session | null
}

type Kind = Operation['kind']
/** What an operation of a kind says beside who, when and what came back. */
type Specific<K extends Kind> = Omit<Extract<Operation, { kind: K }>, keyof OperationBase | 'kind' | 'answer'>

export class Caller {
  readonly client: string
  readonly user: string
  session: Session | null = null
  readonly #nodes: readonly NodeAddress[]
  readonly #random: SeededRandom
  readonly #recorder: Recorder
  readonly #avoided = new Map<string, number>()

  constructor(client: string, user: string, nodes: readonly NodeAddress[], random: SeededRandom, recorder: Recorder) {
    this.client = client
    this.user = user
    this.#nodes = nodes
    this.#random = random
    this.#recorder = recorder
  }

  /** Any node but those that did not answer a moment ago, and, where there is a choice, not `except`. */
  pick(except?: NodeAddress): NodeAddress {
    const now = monotonicMs()
    const good = this.#nodes.filter(node => (this.#avoided.get(node.name) ?? 0) < now)
    const others = good.filter(node => node !== except)
    return this.#random.pick(others.length > 0 ? others : good.length > 0 ? good : this.#nodes)
  }

  async openSession(node: NodeAddress, key: string | null): Promise<Reply> {
    return this.#operate(
      'open-session',
      node,
      { key },
      { method: 'POST', path: '/sessions', body: { user: this.user }, key, session: null },
      body => ({
        opened: body.id,
      }),
    )
  }

  readSession(node: NodeAddress, target: string): Promise<Reply> {
    return this.#operate('read-session', node, { target }, { method: 'GET', path: `/sessions/${target}` }, body => ({
      target: body.id,
      user: body.user,
      revision: Number(body.properties.revision ?? 0),
    }))
  }

  changeSession(node: NodeAddress, target: string, revision: number): Promise<Reply> {
    const body = { properties: { revision: `${revision}` } }
    return this.#operate(
      'change-session',
      node,
      { target, revision },
      { method: 'PATCH', path: `/sessions/${target}`, body },
      answer => ({
        revision: Number(answer.properties.revision ?? 0),
      }),
    )
  }

  closeSession(node: NodeAddress, target: string): Promise<Reply> {
    return this.#operate(
      'close-session',
      node,
      { target },
      { method: 'DELETE', path: `/sessions/${target}` },
      () => ({}),
    )
  }

  submit(
    node: NodeAddress,
    specific: Omit<Specific<'submit'>, 'effect'>,
    body: { readonly timeoutMs?: number },
  ): Promise<Reply> {
    const { key, mode } = specific
    const asked: Asked = {
      method: 'POST',
      path: '/queries',
      body,
      key,
      extraMs: mode === 'sync' ? (body.timeoutMs ?? 0) : 0,
    }
    return this.#operate('submit', node, { ...specific, effect: null }, asked, answer => {
      const { query, rows, nextOffset } = answer.query ? answer : { query: answer, rows: null, nextOffset: null }
      return { query: seenQuery(query), rows: rows ? rowsSeen({ offset: 0, rows, nextOffset }) : null }
    })
  }

  poll(node: NodeAddress, handle: string, after: number | null, waitMs: number): Promise<Reply> {
    const query = after === null ? '' : `?after=${after}&waitMs=${waitMs}`
    const asked = { method: 'GET', path: `/queries/${handle}${query}`, extraMs: after === null ? 0 : waitMs }
    return this.#operate('poll', node, { handle, after, waitMs: after === null ? 0 : waitMs }, asked, asQuery)
  }

  rows(node: NodeAddress, handle: string, offset: number, limit: number): Promise<Reply> {
    const path = `/queries/${handle}/results?offset=${offset}&limit=${limit}`
    return this.#operate(
      'rows',
      node,
      { handle, offset, limit },
      { method: 'GET', path },
      (body): { rows: RowsSeen } => ({
        rows: rowsSeen(body),
      }),
    )
  }

  cancel(node: NodeAddress, handle: string): Promise<Reply> {
    return this.#operate('cancel', node, { handle }, { method: 'DELETE', path: `/queries/${handle}` }, asQuery)
  }

  drop(node: NodeAddress, handle: string): Promise<Reply> {
    return this.#operate('drop', node, { handle }, { method: 'DELETE', path: `/queries/${handle}/results` }, () => ({}))
  }

  /** The newest only: the whole would grow with the run. */
  list(node: NodeAddress, limit: number): Promise<Reply> {
    return this.#operate('list', node, {}, { method: 'GET', path: `/queries?limit=${limit}` }, body => ({
      whole: body.nextCursor === null,
      queries: body.queries.map(seenQuery),
    }))
  }

  async #operate<K extends Kind>(
    kind: K,
    node: NodeAddress,
    specific: Specific<K>,
    asked: Asked,
    success: (body: any) => object,
  ): Promise<Reply> {
    const session = asked.session === undefined ? this.session : asked.session
    const beginMs = monotonicMs()
    const reply = await this.#send(node, asked, session)
    const { status, body } = reply
    if (status === 'lost') this.#avoided.set(node.name, monotonicMs() + avoidedMs)
    const answer: object | null =
      status === 'lost' ? null : status < 300 ? { status, ...success(body) } : refusal(status, body)
    this.#recorder.write({
      record: 'operation',
      id: this.#recorder.nextId(),
      client: this.client,
      user: this.user,
      node: node.name,
      session: session?.id ?? null,
      beginMs,
      endMs: status === 'lost' ? null : monotonicMs(),
      kind,
      ...specific,
      answer,
    } as unknown as Operation)
    return reply
  }

  async #send(
    { url }: NodeAddress,
    { method, path, body, key, extraMs = 0 }: Asked,
    session: Session | null,
  ): Promise<Reply> {
    try {
      const response = await fetch(`${url}/api/v1${path}`, {
        method,
        headers: {
          ...(session ? { authorization: `Bearer ${session.token}` } : {}),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(key ? { 'idempotency-key': key } : {}),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(answerWithinMs + extraMs),
      })
      const text = await response.text()
      return { status: response.status, body: text === '' ? null : JSON.parse(text) }
    } catch {
      return { status: 'lost', body: null }
    }
  }
}

const asQuery = (body: any): { query: SeenQuery } => ({ query: seenQuery(body) })

function refusal(status: number, body: any): Refusal {
  return { status, code: body?.code ?? null, retryable: body?.retryable, handle: body?.handle ?? null }
}
