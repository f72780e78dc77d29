/** What a claimant does, and what follows a failure: exhaustively, against a table of the tests' own. */
import test from 'ava'
import fc from 'fast-check'
import {
  awayDelayMsMax,
  awaySince,
  decideOrphan,
  type EngineAnswer,
  type ErrorCode,
  type FailureKind,
  type FailurePolicy,
  isErrorCode,
  type Mode,
  nextAfterFailure,
  type OnRecovery,
  type OrphanDecision,
  type OrphanFacts,
  QueryStatus,
  retryDelayMsMax,
} from '../../src/domain/index.ts'

/**
 * The design's table, "What a claimant does", line by line in its own order, with what its other paragraphs add: sync queries
 * without a key (`system.md`, rule 4), cancel, and where `NODE_LOST` may stand. Each line: what it is, when it matches, what it says.
 */
const table: readonly (readonly [string, (facts: OrphanFacts) => boolean, string])[] = [
  ['the failure is settled by the ordinary path', f => f.status === 'FAILING', 'go-on'],
  ['finished is no orphan', f => ['SUCCESSFUL', 'FAILED', 'CANCELED', 'CLOSED'].includes(f.status), 'go-on'],
  ['cancel requested, nothing launched', f => waiting(f) && f.cancelRequested, 'cancel'],
  ['sync without key, nothing launched', f => waiting(f) && unawaited(f), 'fail NODE_LOST'],
  ['QUEUED goes on', waiting, 'go-on'],
  ['EXECUTED, no rows owed', f => f.status === 'EXECUTED' && !f.rowsOwed, 'finish'],
  [
    'sync without key: it is cancelled on the engine first',
    f => f.engine === 'running' && unawaited(f) && !f.cancelRequested && f.status !== 'EXECUTED',
    'abandon',
  ],
  ['the engine still has it: whatever onRecovery says', f => f.engine === 'running', 'reattach'],
  ['committed, no rows owed', f => committed(f) && !f.rowsOwed, 'finish'],
  ['committed, rows owed', committed, 'fail RECOVERY_FAILED'],
  [
    'without effect, cancel requested',
    f => harmless(f) && f.cancelRequested && (f.status !== 'EXECUTED' || f.safeToRepeat),
    'cancel',
  ],
  ['EXECUTED by a statement with effect takes no cancel: QUEUED does', f => harmless(f) && f.cancelRequested, 'rerun'],
  ['without effect, nobody waits', f => harmless(f) && unawaited(f), 'fail NODE_LOST'],
  ['without effect, onRecovery fail', f => harmless(f) && f.onRecovery === 'fail', 'fail NODE_LOST'],
  ['without effect', harmless, 'rerun'],
  ['onRecovery rerun', f => f.onRecovery === 'rerun' && !f.cancelRequested && !unawaited(f), 'rerun'],
  ['else', () => true, 'fail EXECUTION_UNKNOWN'],
]

function waiting({ status }: OrphanFacts): boolean {
  return status === 'NEW' || status === 'QUEUED'
}
function unawaited({ mode, keyed }: OrphanFacts): boolean {
  return mode === 'sync' && !keyed
}
function committed({ engine }: OrphanFacts): boolean {
  return engine === 'committed' || engine === 'committed-with-rows'
}
function harmless({ engine, safeToRepeat }: OrphanFacts): boolean {
  return engine === 'ended' || safeToRepeat
}

const engineAnswers: readonly EngineAnswer[] = ['running', 'committed', 'committed-with-rows', 'ended', 'unknown']

function* everyOrphan(): Generator<OrphanFacts> {
  const flags = [false, true]
  for (const status of Object.values(QueryStatus))
    for (const cancelRequested of flags)
      for (const mode of ['async', 'sync'] satisfies Mode[])
        for (const keyed of flags)
          for (const onRecovery of ['auto', 'rerun', 'fail'] satisfies OnRecovery[])
            for (const rowCount of [null, 0, 5])
              for (const rowsOwed of flags)
                for (const safeToRepeat of flags)
                  for (const engine of engineAnswers)
                    yield { status, cancelRequested, mode, keyed, onRecovery, rowCount, rowsOwed, safeToRepeat, engine }
}

function named(decision: OrphanDecision): string {
  return decision.do === 'fail' ? `fail ${decision.code}` : decision.do
}

test('decideOrphan: every combination of facts, by the first line of the table that matches', t => {
  const used = new Set<string>()
  let count = 0
  for (const facts of everyOrphan()) {
    const [line, , expected] = table.find(([, matches]) => matches(facts)) as (typeof table)[number]
    used.add(line)
    count++
    const decision = decideOrphan(facts)
    if (named(decision) !== expected)
      t.fail(`${JSON.stringify(facts)}: ${named(decision)}, but "${line}" says ${expected}`)
    if (decision.do === 'fail' && decision.message === '') t.fail('a failure without a message')
  }
  t.is(count, 10 * 2 * 2 * 2 * 3 * 3 * 2 * 2 * 5)
  t.deepEqual([...used].sort(), table.map(([line]) => line).sort(), 'a line of the table is never reached')
})

test('decideOrphan: nothing unsafe is repeated behind the client, and NODE_LOST, which is retryable, is never said of an effect', t => {
  for (const facts of everyOrphan()) {
    const decision = named(decideOrphan(facts))
    const launched = ['LAUNCHED', 'RUNNING', 'EXECUTED'].includes(facts.status)
    const mayHaveHadEffect = launched && !facts.safeToRepeat && facts.engine !== 'ended'
    if (mayHaveHadEffect && decision === 'rerun' && facts.onRecovery !== 'rerun') t.fail(JSON.stringify(facts))
    if (mayHaveHadEffect && ['fail NODE_LOST', 'cancel'].includes(decision))
      t.fail(`${decision}: ${JSON.stringify(facts)}`)
    if (launched && committed(facts) && !facts.rowsOwed && decision !== 'finish') t.fail(JSON.stringify(facts))
    if (launched && facts.engine === 'running' && ['rerun', 'cancel'].includes(decision))
      t.fail(`still running: ${JSON.stringify(facts)}`)
  }
  t.pass()
})

const policy: FailurePolicy = {
  engineFailuresMax: 3,
  enginePatienceMs: 10_000,
  engineDeathsMax: 3,
  nodeDeathsMax: 20,
  retryDelayMs: 100,
}

/** Fails again and again; gives the decisions until the end, at most 50. */
function failuresOf(kind: FailureKind, bounds: FailurePolicy) {
  const failures: Partial<Record<FailureKind, number>> = {}
  const decisions = []
  while (decisions.length < 50) {
    const decision = nextAfterFailure({ kind, code: 'EXECUTION_FAILED', message: 'why' }, failures, bounds, 0)
    decisions.push(decision)
    if (decision.retryDelayMs === null) break
    failures[kind] = (failures[kind] ?? 0) + 1
  }
  return decisions
}

test('nextAfterFailure: a statement that fails is never repeated', t => {
  t.deepEqual(failuresOf('statement', policy), [{ code: 'EXECUTION_FAILED', message: 'why', retryDelayMs: null }])
})

test('nextAfterFailure: an engine that is away is asked again later and later, and its own word ends it', t => {
  t.deepEqual(
    failuresOf('engine', policy).map(({ retryDelayMs }) => retryDelayMs),
    [100, 200, null],
  )
  t.is(failuresOf('engine', policy).at(-1)?.code, 'EXECUTION_FAILED')
})

test('nextAfterFailure: an engine under which nothing had begun is tried for as long as the patience, and often enough', t => {
  const failure = { kind: 'engine-away', code: 'ENGINE_UNAVAILABLE', message: 'away' } as const
  const delayAfter = (before: number, awayMs: number) =>
    nextAfterFailure(failure, { 'engine-away': before }, policy, awayMs).retryDelayMs
  t.deepEqual(
    [0, 1, 2, 3, 100].map(before => delayAfter(before, 9_999)),
    [100, 200, 400, 800, awayDelayMsMax],
  )
  t.deepEqual([delayAfter(1, 10_000), delayAfter(2, 10_000)], [200, null])
})

test('awaySince: the first of the failures that follow each other closely', t => {
  const failed = (seconds: number, code = 'ENGINE_UNAVAILABLE') => ({
    code: code as ErrorCode,
    at: new Date(seconds * 1000).toISOString(),
  })
  const since = (...attempts: ReturnType<typeof failed>[]) => awaySince(attempts, 100_000, policy) / 1000
  t.is(since(), 100)
  t.is(since(failed(95)), 95)
  t.is(since(failed(75), failed(85), failed(92)), 75)
  t.is(since(failed(60), failed(85), failed(92)), 85)
  t.is(since(failed(85), failed(88, 'NODE_LOST'), failed(92)), 92)
  t.is(since(failed(80)), 100)
  // The clocks of two nodes.
  t.is(since(failed(101)), 100)
})

test('nextAfterFailure: three deaths of the engine process, twenty of the node, then RECOVERY_FAILED', t => {
  const deaths = failuresOf('engine-process', policy)
  t.deepEqual(
    deaths.map(({ retryDelayMs, code }) => [retryDelayMs, code]),
    [
      [0, 'EXECUTION_FAILED'],
      [0, 'EXECUTION_FAILED'],
      [null, 'RECOVERY_FAILED'],
    ],
  )
  t.regex(deaths.at(-1)?.message ?? '', /3 times.*why/)
  const lost = failuresOf('node', policy)
  t.is(lost.length, 20)
  t.is(lost.at(-1)?.code, 'RECOVERY_FAILED')
})

test('nextAfterFailure: a hand-over is never the last straw, and kinds do not add up', t => {
  t.is(failuresOf('hand-over', { ...policy, nodeDeathsMax: 1, engineDeathsMax: 1, engineFailuresMax: 1 }).length, 50)
  const others = { node: 19, engine: 2, 'engine-process': 2, 'hand-over': 99 }
  t.is(
    nextAfterFailure({ kind: 'node', code: 'NODE_LOST', message: '' }, { ...others, node: 0 }, policy, 0).retryDelayMs,
    0,
  )
  t.is(nextAfterFailure({ kind: 'node', code: 'NODE_LOST', message: '' }, others, policy, 0).retryDelayMs, null)
})

test('nextAfterFailure: for all bounds it ends just at the bound, and no delay is longer than its limit', t => {
  const kinds = { engine: 'engineFailuresMax', 'engine-process': 'engineDeathsMax', node: 'nodeDeathsMax' } as const
  fc.assert(
    fc.property(
      fc.constantFrom(...(Object.keys(kinds) as (keyof typeof kinds)[])),
      fc.nat(5_000),
      fc.nat(5_000),
      fc.integer({ min: 1, max: 600_000 }),
      (kind, before, max, retryDelayMs) => {
        const bounds = { ...policy, [kinds[kind]]: max, retryDelayMs }
        const decision = nextAfterFailure(
          { kind, code: 'ENGINE_UNAVAILABLE', message: '' },
          { [kind]: before },
          bounds,
          0,
        )
        if (decision.retryDelayMs === null) return before + 1 >= max && isErrorCode(decision.code)
        const longest = Math.max(retryDelayMs, retryDelayMsMax)
        return before + 1 < max && decision.retryDelayMs >= 0 && decision.retryDelayMs <= longest
      },
    ),
    { numRuns: 2_000 },
  )
  t.pass()
})
