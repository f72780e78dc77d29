/** What the users of a world do: each operation a little story, drawn from a seed of its own. */
import type { SubmitRequest } from '../../src/gateway/contract.ts'
import type { Client } from './client.ts'
import { GivenUp } from './client.ts'
import type { QueryRecord } from './history.ts'
import type { OperationKind } from './plan.ts'
import type { SeededRandom } from './random.ts'

export async function perform(kind: OperationKind, client: Client, others: readonly Client[], random: SeededRandom) {
  try {
    await stories[kind](client, random, others)
  } catch (error) {
    if (!(error instanceof GivenUp)) throw error
  }
}

type Story = (client: Client, random: SeededRandom, others: readonly Client[]) => Promise<void>

export function drawRequest(random: SeededRandom): SubmitRequest {
  const salt = `salt=${random.uint32().toString(36)}`
  const ms = Math.round(random.chance(0.15) ? random.between(3_000, 25_000) : random.between(5, 2_000))
  const fails = random.chance(0.04) ? ' fails' : ''
  const cost = random.chance(0.2) ? 100 : 1
  const draw = random.fraction()
  const common: SubmitRequest = {
    sql: '',
    priority: random.pick(['low', 'normal', 'high'] as const),
    ...(random.chance(0.08) ? { deadlineMs: Math.round(random.between(1_000, 20_000)) } : {}),
    ...(random.chance(0.1) ? { onRecovery: random.pick(['rerun', 'fail'] as const) } : {}),
    ...(random.chance(0.3) ? { lane: random.pick(['light', 'heavy'] as const) } : {}),
  }
  if (draw < 0.02) return { ...common, sql: `SELEC ${salt}` }
  if (draw < 0.5) {
    const n = random.below(12)
    return { ...common, sql: `SELECT n=${n} ms=${ms} batches=${1 + random.below(3)} cost=${cost}${fails} ${salt}` }
  }
  const engine = 'remote'
  if (draw < 0.72) {
    const n = random.below(12)
    return {
      ...common,
      engine,
      sql: `SELECT n=${n} ms=${ms} batches=${1 + random.below(3)} cost=${cost}${fails} ${salt}`,
    }
  }
  if (draw < 0.9) return { ...common, engine, sql: `INSERT ms=${ms} cost=${cost}${fails} ${salt}` }
  return { ...common, engine, sql: `CALL ms=${ms} cost=${cost}${fails} ${salt}` }
}

/** Runs until somebody ends it, which its client does. */
export function drawEndless(random: SeededRandom): SubmitRequest {
  const { sql, engine } = drawRequest(random)
  const endless = sql.replace(/ms=\d+/, 'ms=300000').replace(' fails', '')
  return { sql: endless, ...(engine == null ? {} : { engine }) }
}

async function toTheEnd(client: Client, random: SeededRandom, record: QueryRecord): Promise<void> {
  const how = random.fraction()
  const following: Promise<unknown> =
    how < 0.35
      ? client.pollUntilEnd(random.fork('poll'), record)
      : how < 0.75
        ? client.follow(random.fork('follow'), record)
        : Promise.all([
            client.follow(random.fork('follow'), record),
            client.pollUntilEnd(random.fork('poll'), record),
            random.chance(0.5) ? client.follow(random.fork('again'), record) : undefined,
          ])
  // It may give up before the cancel below has its answer.
  following.catch(() => undefined)
  if (random.chance(0.18)) {
    const cancelling = random.fork('cancel')
    await client.sleep(cancelling.between(0, 3_000))
    await client.cancel(cancelling, record)
  }
  await following
}

async function afterwards(client: Client, random: SeededRandom, record: QueryRecord): Promise<void> {
  if (record.session.closeAsked) return
  if (record.seen.status === 'SUCCESSFUL' && random.chance(0.7)) await client.readRows(random, record)
  if (random.chance(0.12)) {
    await client.drop(random, record)
    const view = await client.look(random, record)
    if (view.status !== 'CLOSED') client.history.violated('I9', `${record.handle}: dropped, and ${view.status}`)
  }
}

const stories: Readonly<Record<OperationKind, Story>> = {
  async query(client, random) {
    const session = await client.session(random)
    const record = await client.submit(random, session, drawRequest(random))
    if (!record) return
    await toTheEnd(client, random, record)
    await afterwards(client, random, record)
  },

  async sync(client, random) {
    const session = await client.session(random)
    const timeoutMs = Math.round(random.between(200, 15_000))
    const request = { ...drawRequest(random), mode: 'sync' as const, timeoutMs, cancelOnTimeout: false }
    const record = await client.submit(random, session, request)
    if (!record) return
    await client.pollUntilEnd(random, record)
    await afterwards(client, random, record)
  },

  async explain(client, random) {
    const session = await client.session(random)
    const record = await client.submit(random, session, { ...drawRequest(random), operation: 'explain' })
    if (record) await client.pollUntilEnd(random, record)
  },

  async estimate(client, random) {
    const session = await client.session(random)
    const record = await client.submit(random, session, { ...drawRequest(random), operation: 'estimate' })
    if (record) await client.follow(random, record)
  },

  async prepare(client, random) {
    const session = await client.session(random)
    const { sql, engine } = drawRequest(random)
    if (sql.startsWith('SELEC ')) return
    const facts = { session }
    const prepared = await client.insist(random, 'prepare', facts, (gateway, principal) =>
      gateway.prepare(principal, { sql, engine: engine ?? null }),
    )
    const key = `prepared-${random.uuid()}`
    const outcome = await client.insist(random, 'execute', facts, (gateway, principal) =>
      gateway.executePrepared(principal, prepared.handle, {}, key, new AbortController().signal),
    )
    const record = client.history.accepted(outcome.query, session, { sql, engine }, true)
    await client.pollUntilEnd(random, record)
    if (random.chance(0.5))
      await client.insist(random, 'unprepare', { session, refusals: ['NOT_FOUND'] }, (gateway, principal) =>
        gateway.removePrepared(principal, prepared.handle),
      )
  },

  async session(client, random) {
    const session = await client.open(random)
    const database = `database-${random.below(1000)}`
    const changed = await client.insist(random, 'change', { session }, (gateway, principal) =>
      gateway.changeSession(principal, session.id, { database }),
    )
    const read = await client.insist(random, 'read', { session }, (gateway, principal) =>
      gateway.session(principal, session.id),
    )
    if (changed.database !== database || read.database !== database)
      client.history.violated(
        'I9',
        `session ${session.id}: its database is ${read.database}, and was set to ${database}`,
      )
    const record = random.chance(0.6) ? await client.submit(random, session, drawRequest(random)) : null
    await client.sleep(random.between(0, 5_000))
    await client.close(random, session, random.chance(0.5))
    for (let looks = 0; looks < 3; looks++) {
      await client
        .insist(random, 'closed', { session, refusals: ['SESSION_INVALID'] }, (gateway, principal) =>
          gateway.session(principal, session.id),
        )
        .catch(error => {
          if (!(error instanceof GivenUp)) throw error
        })
    }
    if (record) await client.pollUntilEnd(random, record)
  },

  async endless(client, random) {
    const session = await client.session(random)
    const record = await client.submit(random, session, drawEndless(random))
    if (!record) return
    await client.sleep(random.between(0, 8_000))
    await client.cancel(random, record)
    await client.pollUntilEnd(random, record)
  },

  async list(client, random) {
    const session = await client.session(random)
    const { queries } = await client.insist(random, 'list', { session }, (gateway, principal) =>
      gateway.listQueries(principal, { limit: 20 }),
    )
    for (const query of queries) if (query.user !== client.user) client.history.sawForeign(query.handle, 'list')
    const { sessions } = await client.insist(random, 'sessions', { session }, (gateway, principal) =>
      gateway.listSessions(principal, 20),
    )
    for (const seen of sessions) if (seen.user !== client.user) client.history.sawForeign(seen.id, 'sessions')
  },

  async intruder(client, random, others) {
    const session = await client.session(random)
    const foreign = [...client.history.queries.values()].filter(({ user }) => user !== client.user)
    if (foreign.length === 0 || others.length === 0) return
    const { handle } = random.pick(foreign.slice(-30))
    const tries = {
      poll: async (gateway, principal) => void (await gateway.query(principal, handle)),
      rows: async (gateway, principal) => void (await gateway.rows(principal, handle, 0, 10)),
      transitions: async (gateway, principal) => void (await gateway.transitions(principal, handle)),
      cancel: async (gateway, principal) => void (await gateway.cancel(principal, handle)),
      drop: async (gateway, principal) => gateway.dropResult(principal, handle),
      subscribe: async (gateway, principal) => {
        const listener = {
          frame: () => client.history.sawForeign(handle, 'frame'),
          ended: () => undefined,
        }
        const subscription = gateway.subscribe(principal, { topic: 'query', handle }, listener)
        try {
          await subscription.ready
        } finally {
          subscription.close()
        }
      },
    } as const satisfies Record<string, Parameters<typeof client.insist<void>>[3]>
    for (const [asked, work] of Object.entries(tries)) {
      const refused = await client.insist(random, asked, { session, refusals: ['NOT_FOUND'] }, work).then(
        () => false,
        (error: unknown) => error instanceof GivenUp,
      )
      if (!refused) client.history.sawForeign(handle, asked)
    }
  },

  async burst(client, random) {
    const session = await client.session(random)
    const count = 8 + random.below(16)
    await Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const own = random.fork(`burst-${index}`)
        const record = await client.submit(own, session, drawRequest(own))
        if (!record) return
        if (own.chance(0.3)) await client.cancel(own, record)
        await client.pollUntilEnd(own, record)
      }),
    )
  },
}
