/**
 * What a node and its engine process tell each other. A run is flow-controlled by credits: the process sends a batch for
 * each credit, and works no further ahead than one batch.
 *
 *     node                       process
 *     open ─────────────────────▶         links, views, lock-down
 *          ◀──────────────── ready
 *     run(credits) ─────────────▶         check, prepare
 *          ◀────────────── started
 *          ◀─── batch, batch, …           one credit each
 *     credit ───────────────────▶
 *     cancel ───────────────────▶         interrupt until it has ended
 *          ◀─────── ended | failed        the last message of a run
 *
 * What one of them says within a turn of its loop travels together, as a list: see `mailbag.ts`.
 */
import type { Column, TableView, WireValue } from '../../domain/index.ts'
import type { EngineFailure, EstimateAnswer, PreparedAnswer, RowBatch } from '../contract.ts'
import type { TableSource } from './tables.ts'

export interface OpenMessage {
  readonly type: 'open'
  /** The process's own folder, empty: links to the tables and what spills from memory. Removed by it at its end. */
  readonly folder: string
  readonly tables: readonly TableSource[]
  readonly memoryBytesMax: number | null
  readonly threads: number | null
  /** Statements that are expected to run at once. */
  readonly connections: number
}

export interface ProcessStatement {
  readonly sql: string
  readonly parameters: readonly WireValue[]
  readonly database: string | null
}

export interface Answers {
  readonly estimate: EstimateAnswer
  readonly explain: string
  readonly prepare: PreparedAnswer
}
export type CallName = keyof Answers

export type ToProcess =
  | OpenMessage
  | { readonly type: 'call'; readonly id: number; readonly call: CallName; readonly statement: ProcessStatement }
  | { readonly type: 'run'; readonly id: number; readonly statement: ProcessStatement; readonly credits: number }
  | { readonly type: 'credit'; readonly id: number }
  | { readonly type: 'cancel'; readonly id: number }

export type FromProcess =
  | { readonly type: 'ready'; readonly tables: readonly TableView[] }
  | { readonly type: 'open-failed'; readonly message: string }
  | { readonly type: 'answer'; readonly id: number; readonly answer: Answers[CallName] }
  | { readonly type: 'refused'; readonly id: number; readonly failure: EngineFailure; readonly message: string }
  /** Checked and prepared; it is running now. */
  | { readonly type: 'started'; readonly id: number }
  | {
      readonly type: 'batch'
      readonly id: number
      readonly columns: readonly Column[] | null
      readonly batch: RowBatch
    }
  | { readonly type: 'columns'; readonly id: number; readonly columns: readonly Column[] }
  | { readonly type: 'progress'; readonly id: number; readonly fraction: number | null; readonly rows: number }
  | {
      readonly type: 'ended'
      readonly id: number
      readonly columns: readonly Column[] | null
      readonly batch: RowBatch | null
    }
  | { readonly type: 'failed'; readonly id: number; readonly failure: EngineFailure; readonly message: string }
