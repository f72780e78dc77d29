/**
 * In which kind of transaction a statement is run:
 *
 * | mode | for | after its owner's death |
 * |---|---|---|
 * | `read-only` | what looks like a query | the server refuses every write of it, so it may be repeated |
 * | `transaction` | all else | it commits together with its outcome row, or not at all |
 * | `none` | what refuses a transaction (VACUUM, CREATE DATABASE, …) | nobody knows |
 *
 * The words only choose: a query that writes after all is refused by the server, and so is a statement that wants to be
 * outside a transaction. A session or query says otherwise by the property `lens.transaction`.
 */
import { EngineError } from '../contract.ts'
import type { StatementWords } from './words.ts'

export const modes = ['read-only', 'transaction', 'none'] as const
export type Mode = (typeof modes)[number]

export const modeProperty = 'lens.transaction'

const reading = new Set(['SELECT', 'WITH', 'VALUES', 'TABLE', '(', 'SHOW', 'EXPLAIN'])
const writing = [
  ...['INSERT', 'UPDATE', 'DELETE', 'MERGE', 'INTO', 'SHARE'],
  // Functions of the server's own that write or cannot be taken back, some of which a read-only transaction would let pass.
  ...['NEXTVAL', 'SETVAL', 'PG_NOTIFY', 'PG_LOGICAL_EMIT_MESSAGE', 'LO_CREAT', 'LO_CREATE', 'LO_FROM_BYTEA'],
  ...['LO_IMPORT', 'LO_PUT', 'LO_UNLINK', 'LOWRITE', 'DBLINK_EXEC'],
]
const transactionControl = new Set(['BEGIN', 'START', 'COMMIT', 'END', 'ROLLBACK', 'ABORT', 'SAVEPOINT', 'RELEASE'])

/** Begins of statements that refuse a transaction. */
const outside: readonly (readonly string[])[] = [
  ['VACUUM'],
  ['CREATE', 'DATABASE'],
  ['DROP', 'DATABASE'],
  ['CREATE', 'TABLESPACE'],
  ['DROP', 'TABLESPACE'],
  ['ALTER', 'SYSTEM'],
  ['CREATE', 'SUBSCRIPTION'],
  ['DROP', 'SUBSCRIPTION'],
  ['ALTER', 'SUBSCRIPTION'],
  ['DISCARD'],
]

/** `asked`: the property `lens.transaction`, or null. Throws `sql-invalid` for what cannot be run as one statement. */
export function modeOf(words: StatementWords, asked: string | null, readOnlyEngine: boolean): Mode {
  const { first, all } = words
  const [verb = '', object = ''] = first
  if (transactionControl.has(verb) || (verb === 'PREPARE' && object === 'TRANSACTION'))
    throw new EngineError('sql-invalid', `${verb} is not allowed: every statement is a transaction of its own.`)
  if (verb === 'COPY' && (all.has('STDIN') || all.has('STDOUT')))
    throw new EngineError('sql-invalid', 'COPY from or to the client is not allowed.')
  if (asked !== null && !isMode(asked))
    throw new EngineError('sql-invalid', `The property ${modeProperty} is one of ${modes.join(', ')}.`)
  if (readOnlyEngine) return 'read-only'
  return asked ?? chosen(words)
}

function isMode(text: string): text is Mode {
  return (modes as readonly string[]).includes(text)
}

function chosen({ first, all }: StatementWords): Mode {
  const [verb = ''] = first
  if (reading.has(verb)) return writing.some(word => all.has(word)) && writes(verb, all) ? 'transaction' : 'read-only'
  if (outside.some(words => words.every((word, index) => first[index] === word))) return 'none'
  if (all.has('CONCURRENTLY') && verb !== 'REFRESH') return 'none'
  if (verb === 'REINDEX' && (all.has('DATABASE') || all.has('SYSTEM') || all.has('SCHEMA'))) return 'none'
  if (verb === 'CLUSTER' && first.length === 1) return 'none'
  if (verb === 'ALTER' && first[1] === 'DATABASE' && all.has('TABLESPACE')) return 'none'
  return 'transaction'
}

/** EXPLAIN alone runs nothing. */
function writes(verb: string, all: ReadonlySet<string>): boolean {
  return verb !== 'EXPLAIN' || all.has('ANALYZE') || all.has('ANALYSE')
}
