/**
 * What Spin is asked: every model as it is, which must hold for all of its states, and every model with one of its rules
 * removed, which Spin must refute by the property that the rule is there for. A check that could not fail would prove nothing.
 */

export type ModelName = 'lease' | 'ownership' | 'submission' | 'intent'

export interface Check {
  readonly model: ModelName
  /** What the model is bounded by: macros and their values. */
  readonly bounds: Readonly<Record<string, number>>
  /** The rule that is missing, a macro; null: none, and the model must hold. */
  readonly without: string | null
  /** The property that must be refuted; null where nothing may be. `cycle`: the liveness property. */
  readonly refutes: string | null
  /** Asks whether the query ends, under weak fairness, instead of whether anything bad can happen. */
  readonly liveness?: boolean
  /** What these bounds are for. */
  readonly note?: string
}

/** What each property says, by its name in the models. */
export const properties: Readonly<Record<ModelName, Readonly<Record<string, string>>>> = {
  lease: {
    terms_of_accepted_writes_grow: 'after a write of term t was accepted, none of an older term is',
    one_writer_per_term: 'the writes accepted under a term come from one incarnation',
    taken_only_when_free: 'the lease is taken only when it has run out, or from the very holder that was found dead',
    resigned_by_its_holder: 'only its holder gives the lease back',
    fenced_only_when_due: 'a member is fenced only while its lease has run out, or when it was found dead',
    the_dead_renew_nothing: 'a fenced incarnation extends no lease, so that it learns with its next beat what it is',
  },
  ownership: {
    I1_one_terminal_state: 'one terminal state at most, ever',
    I1_in_exactly_one_table: 'every read finds the query in exactly one of the two tables',
    I2_one_writer_per_epoch: 'all writes accepted in an epoch come from one incarnation',
    I3_versions_without_gap_or_repetition: 'each accepted step makes the version that follows the one in the row',
    I8_no_write_of_a_zombie: 'a write (a step, a page, a hand-over) is accepted only of the owner, in its epoch',
    told_only_what_is_durable: 'a node takes a step for durable only when its own transition is recorded',
    no_launch_after_a_cancel: 'nothing is launched once a cancel was answered',
    claimed_only_from_the_dead: 'a claim takes nothing from a living member',
    it_ends: 'the query reaches a terminal state, and only finished_query holds it',
  },
  submission: {
    one_query_per_key: 'one query at most becomes durable under a key',
    all_answers_name_one_query: 'every answer, of every node, names the same query',
    I1_acknowledged_is_in_exactly_one_table:
      'from its answer on, an acknowledged query is in exactly one of the two tables',
    I8_no_query_of_a_fenced_member: 'no query is inserted for a member that is fenced',
    refused_is_not_durable: 'a submission that is answered as not accepted has left nothing',
  },
  intent: {
    I5_executed_at_most_once: 'the statement takes effect at most once',
    I7_no_effect_after_the_end: 'nothing takes effect for a query that has ended',
    the_outcome_is_true:
      'a terminal state that says executed is of one that was, and one that says not executed of one that was not',
    no_launch_after_a_cancel: 'nothing is launched once a cancel was answered',
    no_zombie_ends_the_run_of_another: 'a fenced node does not end the run that the present owner goes on with',
  },
}

/** What each removed rule is, by its macro. */
export const rules: Readonly<Record<ModelName, Readonly<Record<string, string>>>> = {
  lease: {
    NO_TERM_GUARD: "a leader's transaction does not look at the term",
    TERM_NOT_LOCKED: 'it looks, but does not keep the lease row locked to its commit',
    NO_TERM_GROWTH: 'a new holder keeps the term',
    ACQUIRE_BY_READING: 'the lease is read, then written, instead of taken by one conditional statement',
    ASSUME_ACQUIRED: 'after a lost answer the repetition takes the lease for its own without looking whose it is',
    UNNAMED_TAKEOVER: 'the early takeover does not name the holder and term that were found dead',
    RESIGN_UNGUARDED: 'resigning names neither holder nor term',
    FENCE_BY_READING: 'fencing goes by the lease as it was read earlier',
    BEAT_REVIVES: "a beat renews a dead member's lease",
  },
  ownership: {
    NO_EPOCH_GUARD: 'writes are not guarded by the epoch',
    NO_VERSION_GUARD: 'steps are not guarded by the version',
    NO_CLAIM_GUARD: 'a claim writes what it read, without lock and guard',
    CLAIM_KEEPS_EPOCH: 'a claim does not raise the epoch',
    CLAIM_FROM_LIVING: 'a claim does not ask whether the owner is dead',
    SPLIT_MOVE: 'finished_query is filled in one transaction, current_query emptied in another',
    FINISH_UNGUARDED: 'the move is made although the compare-and-set counted nothing',
    VERSION_IS_PROOF: 'a repeated step takes the next version for its own, whoever made it',
    NO_CANCEL_GUARD: 'LAUNCHED is written without AND NOT cancel_requested',
    READ_FINISHED_FIRST: 'finished_query is read first, current_query by a second statement',
    CLAIM_ON_EVENT_ONLY: 'orphans are looked for only when a member dies',
    LOOK_ON_HINT_ONLY: 'a new owner looks at its rows only when it is told to, and hints get lost',
  },
  submission: {
    NO_KEY: 'no idempotency key is taken',
    KEY_APART: 'the key is inserted in a transaction of its own',
    NO_MEMBER_GUARD: 'the insert does not look whether its member lives',
    FENCED_BEFORE_COMMITTED:
      'a repetition asks whether its member lives before it asks whether the first attempt committed',
    MOVE_APART: 'the query leaves current_query in one transaction and enters finished_query in another',
  },
  intent: {
    NO_INTENT: 'the statement is sent before LAUNCHED is durable',
    NO_IDENTITY: 'it is sent before the identity of its run is durable',
    IDENTITY_UNCHECKED: 'it is sent although the machine, already stopping, did not take its identity',
    NO_GUARD: "an owner's commits are guarded by neither epoch nor version",
    NO_END_ASKED: 'a claimant asks for the outcome before the old run is ended',
    NO_WORD_ASKED: 'a claimant runs again what was launched, without asking',
    STOPPED_WITHOUT_WORD: 'after a stop the query goes on without asking whether the statement had committed before it',
    LOST_WITHOUT_WORD: 'an owner that lost the engine makes another attempt without asking what became of the first',
    UNKNOWN_IS_ENDED: 'an unknown outcome is taken for none',
    ABANDON_CANCELS: 'a fenced node cancels whatever it ran',
    LAUNCH_AFTER_CANCEL: 'LAUNCHED is written without AND NOT cancel_requested',
  },
}

const small = {
  lease: { TERMS: 3 },
  ownership: { INCARNATIONS: 3, VERSIONS: 5, EPOCHS: 2 },
  submission: {},
  intent: { ENGINE: 1, RUNS: 2, EPOCHS: 3 },
} as const

const safe = (model: ModelName, bounds: Readonly<Record<string, number>>, note?: string): Check => ({
  model,
  bounds,
  without: null,
  refutes: null,
  note,
})
const broken = (
  model: ModelName,
  without: string,
  refutes: string,
  bounds: Readonly<Record<string, number>> = small[model],
): Check => ({ model, bounds, without, refutes })

const ending = {
  INCARNATIONS: 3,
  VERSIONS: 10,
  EPOCHS: 5,
  CANCELS: 0,
  PAGES: 0,
  FAILURES: 0,
  LATE: 0,
  READER: 0,
} as const

/** Every rule removed, one at a time. */
export const mutants: readonly Check[] = [
  broken('lease', 'NO_TERM_GUARD', 'terms_of_accepted_writes_grow'),
  broken('lease', 'TERM_NOT_LOCKED', 'terms_of_accepted_writes_grow'),
  broken('lease', 'NO_TERM_GROWTH', 'one_writer_per_term'),
  broken('lease', 'ASSUME_ACQUIRED', 'one_writer_per_term'),
  broken('lease', 'ACQUIRE_BY_READING', 'taken_only_when_free'),
  broken('lease', 'UNNAMED_TAKEOVER', 'taken_only_when_free'),
  broken('lease', 'RESIGN_UNGUARDED', 'resigned_by_its_holder'),
  broken('lease', 'FENCE_BY_READING', 'fenced_only_when_due'),
  broken('lease', 'BEAT_REVIVES', 'the_dead_renew_nothing'),

  broken('ownership', 'NO_EPOCH_GUARD', 'I8_no_write_of_a_zombie'),
  broken('ownership', 'NO_CLAIM_GUARD', 'I8_no_write_of_a_zombie'),
  broken('ownership', 'CLAIM_KEEPS_EPOCH', 'I2_one_writer_per_epoch'),
  broken('ownership', 'NO_VERSION_GUARD', 'I3_versions_without_gap_or_repetition'),
  broken('ownership', 'FINISH_UNGUARDED', 'I1_one_terminal_state', { ...small.ownership, READER: 0 }),
  broken('ownership', 'SPLIT_MOVE', 'I1_in_exactly_one_table'),
  broken('ownership', 'READ_FINISHED_FIRST', 'I1_in_exactly_one_table'),
  broken('ownership', 'VERSION_IS_PROOF', 'told_only_what_is_durable'),
  broken('ownership', 'NO_CANCEL_GUARD', 'no_launch_after_a_cancel'),
  broken('ownership', 'CLAIM_FROM_LIVING', 'claimed_only_from_the_dead'),
  { ...broken('ownership', 'CLAIM_ON_EVENT_ONLY', 'it_ends', ending), liveness: true },
  { ...broken('ownership', 'LOOK_ON_HINT_ONLY', 'it_ends', ending), liveness: true },

  broken('submission', 'NO_KEY', 'one_query_per_key'),
  broken('submission', 'NO_KEY', 'all_answers_name_one_query', { ONLY_ANSWERS: 1 }),
  broken('submission', 'KEY_APART', 'I1_acknowledged_is_in_exactly_one_table'),
  broken('submission', 'MOVE_APART', 'I1_acknowledged_is_in_exactly_one_table'),
  broken('submission', 'NO_MEMBER_GUARD', 'I8_no_query_of_a_fenced_member'),
  broken('submission', 'FENCED_BEFORE_COMMITTED', 'refused_is_not_durable'),

  ...[
    'NO_INTENT',
    'NO_IDENTITY',
    'IDENTITY_UNCHECKED',
    'NO_GUARD',
    'NO_END_ASKED',
    'NO_WORD_ASKED',
    'STOPPED_WITHOUT_WORD',
    'LOST_WITHOUT_WORD',
  ].map(rule => broken('intent', rule, 'I5_executed_at_most_once', { ...small.intent, ONLY_I5: 1 })),
  broken('intent', 'UNKNOWN_IS_ENDED', 'I5_executed_at_most_once', { ...small.intent, ENGINE: 2, ONLY_I5: 1 }),
  broken('intent', 'NO_END_ASKED', 'I7_no_effect_after_the_end'),
  broken('intent', 'IDENTITY_UNCHECKED', 'I7_no_effect_after_the_end'),
  broken('intent', 'STOPPED_WITHOUT_WORD', 'the_outcome_is_true'),
  broken('intent', 'LOST_WITHOUT_WORD', 'the_outcome_is_true'),
  broken('intent', 'ABANDON_CANCELS', 'no_zombie_ends_the_run_of_another', { ...small.intent, ENGINE: 3 }),
  broken('intent', 'LAUNCH_AFTER_CANCEL', 'no_launch_after_a_cancel'),
]

/** The models as they are. */
export const models: readonly Check[] = [
  safe('lease', { TERMS: 4, INCARNATIONS: 4 }, 'three nodes, one of which joins again'),
  safe('ownership', { INCARNATIONS: 3, VERSIONS: 7, EPOCHS: 2 }, 'everything that may happen, one change of owner'),
  safe(
    'ownership',
    { INCARNATIONS: 3, VERSIONS: 7, EPOCHS: 3, CANCELS: 0, FAILURES: 0 },
    'two changes of owner, no cancel, no failed attempt',
  ),
  safe(
    'ownership',
    { INCARNATIONS: 4, VERSIONS: 8, EPOCHS: 4, CANCELS: 0, FAILURES: 0, LATE: 0 },
    'three changes of owner; besides, nothing arrives late',
  ),
  { ...safe('ownership', ending, 'two crashes, a false fencing, a hand-over, a lost answer'), liveness: true },
  safe('submission', { REQUESTS: 3 }, 'three nodes, three requests under one key'),
  safe('intent', { ENGINE: 1, RUNS: 3, EPOCHS: 4 }, 'a transactional engine'),
  safe('intent', { ENGINE: 2, RUNS: 3, EPOCHS: 4 }, 'an opaque engine'),
  safe('intent', { ENGINE: 3, RUNS: 3, EPOCHS: 3 }, 'a reattachable engine'),
  safe('intent', { ENGINE: 3, RUNS: 2, EPOCHS: 4 }, 'a reattachable engine, more owners'),
]

/** The same in few seconds, for `npm test`. */
export const smallModels: readonly Check[] = [
  safe('lease', small.lease),
  safe('ownership', small.ownership),
  { ...safe('ownership', ending), liveness: true },
  safe('submission', {}),
  safe('intent', { ENGINE: 1, RUNS: 2, EPOCHS: 3 }),
  safe('intent', { ENGINE: 2, RUNS: 2, EPOCHS: 3 }),
  safe('intent', { ENGINE: 3, RUNS: 2, EPOCHS: 2 }),
]
