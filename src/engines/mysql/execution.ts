/**
 * A statement that its connection has: prepared, recorded and executed, one after the other, once its identity is durable. Each of the
 * three may wait for locks of others, and may be cancelled while it does.
 */
import { type Clock, type Deferred, deferred } from '../../async/index.ts'
import type { EngineHandle, WireValue } from '../../domain/index.ts'
import { EngineError, type StatementRequest } from '../contract.ts'
import type { RowShape, ServerStatement } from '../rows/server-run.ts'
import type { Connections, Lease } from './connections.ts'
import { type Description, describe, Execution } from './conversation.ts'
import { engineError, errorNumbers, isAway, isServerError, numberOf, unavailable } from './failures.ts'
import { cancelStatement, endConnection, handleOf, type StatementIdentity } from './identity.ts'
import { type Outcomes, recordOutcome } from './outcomes.ts'
import type { CheckedStatement } from './statement.ts'
import type { Value } from './types.ts'

export interface ExecutionOptions {
  readonly engine: string
  readonly connections: Connections
  readonly outcomes: Outcomes
  readonly lease: Lease
  readonly request: StatementRequest
  readonly checked: CheckedStatement
  readonly identity: StatementIdentity
  readonly clock: Clock
}

export class MySqlExecution implements ServerStatement<Value> {
  readonly engineHandle: EngineHandle
  readonly safeToRepeat: boolean
  readonly inTransaction: boolean
  readonly #options: ExecutionOptions
  readonly #shape: Deferred<RowShape<Value>> = deferred<RowShape<Value>>()
  readonly #settled = deferred()
  #execution: Execution | undefined
  #isSettled = false
  #error: Error | undefined
  /** No further step of it is sent. */
  #isStopped = false
  #isCanceled = false

  constructor(options: ExecutionOptions) {
    const { identity } = options
    this.#options = options
    this.engineHandle = handleOf(identity)
    this.safeToRepeat = identity.mode === 'read-only'
    this.inTransaction = identity.mode !== 'none'
    this.#shape.promise.catch(() => {})
    void this.#run()
  }

  shape(): Promise<RowShape<Value>> {
    return this.#shape.promise
  }

  async next(): Promise<readonly (readonly (Value | null)[])[] | null> {
    await this.#shape.promise
    return (this.#execution as Execution).next()
  }

  discard(): void {
    this.#isStopped = true
    this.#execution?.discard()
  }

  get settled(): Promise<void> {
    return this.#settled.promise
  }

  get isSettled(): boolean {
    return this.#isSettled
  }

  get error(): Error | undefined {
    return this.#error
  }

  async commit(): Promise<void> {
    await this.#options.lease.query('COMMIT')
  }

  async rollBack(): Promise<void> {
    const { lease } = this.#options
    try {
      if (this.inTransaction) await lease.query('ROLLBACK')
      // The last cancel may still be on its way, and would end somebody else's statement.
      if (!this.#isCanceled) {
        void lease.release()
        return
      }
    } catch {
      // It is gone, and so is what was open on it.
    }
    this.destroy()
  }

  release(): Promise<void> {
    return this.#options.lease.release()
  }

  destroy(): void {
    this.#options.lease.destroy()
    this.#fail(new Error('The connection was closed.'))
  }

  cancel(): Promise<void> {
    this.#isCanceled = true
    return cancelStatement(this.#options.connections, this.#options.identity)
  }

  end(): Promise<void> {
    const { connections, identity, clock } = this.#options
    return endConnection(connections, identity, clock)
  }

  failureOf(error: unknown): EngineError {
    const { engine, checked } = this.#options
    return engineError(error, engine, this.#execution ? 'run' : 'prepare', checked.words.isSeveral)
  }

  /** Of what was found here the server knows nothing, and its connection is as good. */
  isServerError(error: unknown): boolean {
    if (error instanceof EngineError) return error.failure !== 'unavailable'
    return isServerError(error) && !isAway(error)
  }

  isCanceled(error: unknown): boolean {
    return (
      numberOf(error) === errorNumbers.interrupted || (error instanceof EngineError && error.failure === 'canceled')
    )
  }

  async #run(): Promise<void> {
    try {
      await this.#execute()
      this.#settle()
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  async #execute(): Promise<void> {
    const { lease, request, checked } = this.#options
    const description = await describe(lease.client, checked.sql)
    const values = bound(request.parameters, description)
    this.#goOn()
    // What the server says of an INSERT … RETURNING before it runs leaves its columns out.
    await this.#record(description.fields.length > 0 || checked.words.all.has('RETURNING'))
    this.#goOn()
    const execution = new Execution(lease.client)
    this.#execution = execution
    execution.start(checked.sql, values, description.isPrepared)
    execution.shape().then(this.#shape.resolve, this.#shape.reject)
    await execution.settled
    if (execution.error) throw execution.error
  }

  /** First in its transaction: it waits for the end of an earlier attempt, where there is one. */
  async #record(owesRows: boolean): Promise<void> {
    const { engine, lease, request, identity, outcomes } = this.#options
    const { outcomeTable: table } = identity
    if (table === null) return
    try {
      await recordOutcome(lease, table, request.handle, request.attempt, owesRows, identity.begunAt)
    } catch (error) {
      const number = numberOf(error)
      if (number === errorNumbers.noTable) outcomes.forgetTable()
      // To be asked what became of it: an earlier attempt committed after all, or is still there.
      const { noTable, duplicate, lockWait } = errorNumbers
      if (number === noTable || number === duplicate || number === lockWait) throw unavailable(engine, error)
      throw error
    }
  }

  #goOn(): void {
    if (this.#isStopped) throw new EngineError('canceled', 'The statement was cancelled.')
  }

  #settle(): void {
    this.#isSettled = true
    this.#settled.resolve()
  }

  #fail(error: Error): void {
    if (this.#isSettled) return
    this.#error = error
    this.#shape.reject(error)
    this.#execution?.lost(error)
    this.#settle()
  }
}

/** Throws `sql-invalid` when there are too many or too few. */
export function bound(values: readonly WireValue[], { parameterCount }: Description): readonly WireValue[] {
  if (values.length === parameterCount) return values
  const message = `The statement has ${parameterCount} parameters, ${values.length} were given.`
  throw new EngineError('sql-invalid', message)
}
