/**
 * In which kind of transaction a statement is run:
 *
 * | mode | for | after its owner's death |
 * |---|---|---|
 * | `read-only` | what looks like a query | the server refuses every write of it, so it may be repeated |
 * | `transaction` | INSERT, UPDATE, DELETE and the like, on tables of InnoDB alone | it commits together with its outcome row, or not at all |
 * | `none` | what commits by itself (DDL, CALL, …) or writes what no transaction holds | nobody knows |
 *
 * The words only choose: a query that writes after all is refused by the server. A session or query says otherwise by the property
 * `lens.transaction`; only what the server would commit on its own cannot be put in a transaction by it.
 */
import { EngineError } from '../contract.ts'
import type { StatementWords } from './words.ts'

export const modes = ['read-only', 'transaction', 'none'] as const
export type Mode = (typeof modes)[number]

export const modeProperty = 'lens.transaction'

const reading = new Set(['SELECT', 'WITH', 'VALUES', 'TABLE', '(', 'SHOW', 'EXPLAIN', 'DESCRIBE', 'DESC'])
const writing = new Set(['INSERT', 'REPLACE', 'UPDATE', 'DELETE'])
/** In a query: it writes, or the server would refuse it in a read-only transaction. */
const writingInside = ['NEXTVAL', 'SETVAL', 'NEXT']
const transactionControl = new Set(['BEGIN', 'START', 'COMMIT', 'ROLLBACK', 'SAVEPOINT', 'RELEASE', 'XA'])
/** The lock by which an orphan is found is not the statement's to release. */
const forbidden = ['RELEASE_ALL_LOCKS']

/** `asked`: the property `lens.transaction`, or null. Throws `sql-invalid` for what cannot be run so. */
export function modeOf(words: StatementWords, asked: string | null, readOnlyEngine: boolean): Mode {
  const [verb = ''] = words.first
  if (transactionControl.has(verb))
    throw invalid(`${verb} is not allowed: every statement is a transaction of its own.`)
  if (verb === 'LOAD' && words.all.has('LOCAL')) throw invalid('LOAD DATA LOCAL is not allowed.')
  for (const name of forbidden) if (words.all.has(name)) throw invalid(`${name} is not allowed.`)
  if (asked !== null && !isMode(asked)) throw invalid(`The property ${modeProperty} is one of ${modes.join(', ')}.`)
  const mode = readOnlyEngine ? 'read-only' : (asked ?? chosen(words))
  if (mode !== 'none' && !isBound(words)) {
    const why = readOnlyEngine ? 'on an engine that is read-only' : 'in a transaction'
    throw invalid(`${verb} cannot be run ${why}.`)
  }
  return mode
}

function invalid(message: string): EngineError {
  return new EngineError('sql-invalid', message)
}

function isMode(text: string): text is Mode {
  return (modes as readonly string[]).includes(text)
}

function chosen(words: StatementWords): Mode {
  const { first, all } = words
  const [verb = ''] = first
  if (!isBound(words)) return 'none'
  if (writing.has(verb)) return 'transaction'
  if (verb === 'WITH' && (all.has('UPDATE') || all.has('DELETE'))) return 'transaction'
  return writingInside.some(word => all.has(word)) ? 'transaction' : 'read-only'
}

/** All that it does is bound to the transaction in which it runs. */
function isBound({ first, all }: StatementWords): boolean {
  const [verb = ''] = first
  if (all.has('OUTFILE') || all.has('DUMPFILE')) return false
  return reading.has(verb) || writing.has(verb)
}
