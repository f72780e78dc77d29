/** A client that writes down what it asks and is answered, for short recordings: one operation after the other, and subscriptions beside. */
import { WebSocket } from 'ws'
import type { Answer, NodeProcess } from '../../support/nodes.ts'
import {
  type HistoryRecord,
  monotonicMs,
  type Operation,
  type OperationBase,
  type Refusal,
  rowsSeen,
  type SeenQuery,
  type Submit,
  type Subscribe,
  seenQuery,
} from '../history.ts'

export class Recording {
  readonly records: HistoryRecord[] = []
  #ids = 0

  nextId(): string {
    return `o${++this.#ids}`
  }
}

type Specific<Kind extends Operation['kind']> = Omit<
  Extract<Operation, { kind: Kind }>,
  keyof OperationBase | 'kind' | 'answer'
>
type Success<Kind extends Operation['kind']> = Exclude<Extract<Operation, { kind: Kind }>['answer'], Refusal | null>

export class RecordingClient {
  readonly user: string
  readonly #recording: Recording
  readonly #name: string
  #session: { id: string; token: string } | null = null

  constructor(recording: Recording, name: string, user: string) {
    this.#recording = recording
    this.#name = name
    this.user = user
  }

  get session(): string {
    return this.#session?.id ?? ''
  }

  async open(node: NodeProcess, key: string | null = null): Promise<string | null> {
    let opened: { id: string; token: string } | null = null
    await this.#ask(node, 'open-session', { key }, async () => {
      const headers: Record<string, string> = key === null ? {} : { 'idempotency-key': key }
      const answer = await node.call('POST', '/api/v1/sessions', {
        body: { user: this.user, properties: { revision: '0' } },
        headers,
      })
      opened = answer.body
      return [answer, ({ id }) => ({ opened: id })]
    })
    this.#session = opened
    return this.session
  }

  async close(node: NodeProcess): Promise<void> {
    const target = this.session
    await this.#ask(node, 'close-session', { target }, async token => {
      return [await node.call('DELETE', `/api/v1/sessions/${target}`, { token }), () => ({})]
    })
  }

  async readSession(node: NodeProcess, target = this.session): Promise<void> {
    await this.#ask(node, 'read-session', { target }, async token => [
      await node.call('GET', `/api/v1/sessions/${target}`, { token }),
      ({ id, user, properties }) => ({ target: id, user, revision: Number(properties.revision) }),
    ])
  }

  async changeSession(node: NodeProcess, revision: number): Promise<void> {
    const target = this.session
    await this.#ask(node, 'change-session', { target, revision }, async token => [
      await node.call('PATCH', `/api/v1/sessions/${target}`, {
        token,
        body: { properties: { revision: String(revision) } },
      }),
      ({ properties }) => ({ revision: Number(properties.revision) }),
    ])
  }

  /** The handle, if there was one. */
  async submit(
    node: NodeProcess,
    request: { sql: string; statement: string; mode?: 'async' | 'sync'; key?: string },
  ): Promise<string | null> {
    const { sql, statement, mode = 'async', key = null } = request
    const submission: Specific<'submit'> = { mode, key, statement, onRecovery: 'auto', effect: null }
    const answer = (await this.#ask(node, 'submit', submission, async token => [
      await node.call('POST', '/api/v1/queries', {
        token,
        body: { sql, mode },
        headers: key === null ? {} : { 'idempotency-key': key },
      }),
      body =>
        'query' in body
          ? { query: seenQuery(body.query), rows: body.rows && rowsSeen({ ...body, offset: 0 }) }
          : { query: seenQuery(body), rows: null },
    ])) as Submit['answer']
    return answer && 'query' in answer ? answer.query.handle : null
  }

  async poll(node: NodeProcess, handle: string, after: number | null = null, waitMs = 0): Promise<SeenQuery | null> {
    const wait = after === null ? '' : `?after=${after}&waitMs=${waitMs}`
    const answer = await this.#ask(node, 'poll', { handle, after, waitMs }, async token => [
      await node.call('GET', `/api/v1/queries/${handle}${wait}`, { token }),
      body => ({ query: seenQuery(body) }),
    ])
    return answer && 'query' in answer ? answer.query : null
  }

  async rows(node: NodeProcess, handle: string, offset: number, limit: number): Promise<number | null> {
    const answer = await this.#ask(node, 'rows', { handle, offset, limit }, async token => [
      await node.call('GET', `/api/v1/queries/${handle}/results?offset=${offset}&limit=${limit}`, { token }),
      body => ({ rows: rowsSeen(body) }),
    ])
    return answer && 'rows' in answer ? answer.rows.nextOffset : null
  }

  async cancel(node: NodeProcess, handle: string): Promise<void> {
    await this.#ask(node, 'cancel', { handle }, async token => [
      await node.call('DELETE', `/api/v1/queries/${handle}`, { token }),
      body => ({ query: seenQuery(body) }),
    ])
  }

  async drop(node: NodeProcess, handle: string): Promise<void> {
    await this.#ask(node, 'drop', { handle }, async token => [
      await node.call('DELETE', `/api/v1/queries/${handle}/results`, { token }),
      () => ({}),
    ])
  }

  async list(node: NodeProcess, of = this.user): Promise<void> {
    await this.#ask(node, 'list', { of }, async token => {
      const queries: SeenQuery[] = []
      for (let cursor = ''; ; ) {
        const answer = await node.call('GET', `/api/v1/queries?limit=20&user=${of}${cursor}`, { token })
        if (answer.status !== 200) return [answer, () => ({ whole: false, queries })]
        queries.push(...answer.body.queries.map(seenQuery))
        if (answer.body.nextCursor === null) return [answer, () => ({ whole: true, queries })]
        cursor = `&cursor=${encodeURIComponent(answer.body.nextCursor)}`
      }
    })
  }

  /** `over()`: what the subscription has shown so far, once it has ended; it is recorded then. */
  subscribe(
    node: NodeProcess,
    topic: { handle: string } | 'session',
    after: Readonly<Record<string, number>>,
  ): RecordedSubscription {
    return new RecordedSubscription(this.#recording, node, this.#session?.token ?? '', {
      ...this.#base(node),
      kind: 'subscribe',
      topic: topic === 'session' ? 'session' : 'query',
      handle: topic === 'session' ? null : topic.handle,
      after,
      answer: null,
    })
  }

  #base(node: NodeProcess): Omit<OperationBase, 'endMs'> {
    return {
      record: 'operation',
      id: this.#recording.nextId(),
      client: this.#name,
      user: this.user,
      node: node.name,
      session: this.#session?.id ?? null,
      beginMs: monotonicMs(),
    }
  }

  async #ask<Kind extends Operation['kind']>(
    node: NodeProcess,
    kind: Kind,
    specific: Specific<Kind>,
    call: (token: string) => Promise<[Answer, (body: any) => Omit<Success<Kind>, 'status'>]>,
  ): Promise<Success<Kind> | Refusal | null> {
    const base = this.#base(node)
    let answer: Success<Kind> | Refusal | null = null
    try {
      const [{ status, body }, success] = await call(this.#session?.token ?? '')
      answer =
        status < 300
          ? ({ status, ...success(body) } as Success<Kind>)
          : { status, code: body.code ?? null, retryable: body.retryable, handle: body.handle ?? null }
    } catch {
      // Nobody knows what became of it.
    }
    const endMs = answer === null ? null : monotonicMs()
    this.#recording.records.push({ ...base, kind, ...specific, answer, endMs } as unknown as Operation)
    return answer
  }
}

export class RecordedSubscription {
  readonly #recording: Recording
  readonly #socket: WebSocket
  readonly #ended: PromiseWithResolvers<void> = Promise.withResolvers()
  #operation: Subscribe
  #index = 0
  readonly last = new Map<string, number>()

  constructor(
    recording: Recording,
    node: NodeProcess,
    token: string,
    asked: Omit<Subscribe, 'endMs' | 'subscribedMs' | 'ended'>,
  ) {
    this.#recording = recording
    this.#operation = { ...asked, endMs: null, subscribedMs: null, ended: null }
    const { topic, handle, after } = asked
    this.#socket = new WebSocket(`${node.url.replace(/^http/, 'ws')}/api/v1/stream`, {
      headers: { authorization: `Bearer ${token}` },
    })
    this.#socket.on('error', () => {})
    this.#socket.on('message', data => {
      for (const frame of [JSON.parse(String(data))].flat()) this.#take(frame)
    })
    this.#socket.on('close', code => this.#over(`close ${code}`))
    this.#socket.on('open', () => {
      const request = topic === 'session' ? { after } : { handle, after: after[handle ?? ''] }
      this.#socket.send(JSON.stringify({ type: 'subscribe', id: 's', topic, ...request }))
    })
  }

  /** Ends it unless it has ended; resolves when it is recorded. */
  end(): Promise<void> {
    this.#socket.terminate()
    return this.#ended.promise
  }

  /** The connection broke. */
  get broken(): Promise<void> {
    return this.#ended.promise
  }

  /** The run is over, and it was there to the end. */
  outlive(): void {
    this.#record()
    this.#socket.terminate()
  }

  #take(frame: any): void {
    const atMs = monotonicMs()
    if (frame.type === 'subscribed') this.#operation = { ...this.#operation, subscribedMs: atMs }
    else if (frame.type === 'error') this.#over(frame.code)
    else if (frame.type === 'query') {
      const { id: subscription } = this.#operation
      this.last.set(frame.query.handle, frame.query.version)
      const record = {
        record: 'frame',
        subscription,
        index: this.#index++,
        atMs,
        query: seenQuery(frame.query),
      } as const
      this.#recording.records.push(record)
    }
  }

  #over(why: string): void {
    if (this.#operation.ended === null) this.#operation = { ...this.#operation, ended: why, endMs: monotonicMs() }
    this.#record()
  }

  #recorded = false
  #record(): void {
    if (this.#recorded) return
    this.#recorded = true
    this.#recording.records.push(this.#operation)
    this.#ended.resolve()
  }
}
