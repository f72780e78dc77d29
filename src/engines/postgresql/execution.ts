/**
 * A statement that its backend has: described, recorded and executed, one after the other, once its identity is durable. Each of the three may
 * wait for locks of others, and may be cancelled while it does.
 */
import { type Clock, type Deferred, deferred } from '../../async/index.ts'
import type { EngineHandle } from '../../domain/index.ts'
import { EngineError, type StatementRequest } from '../contract.ts'
import type { RowShape, ServerStatement } from '../rows/server-run.ts'
import type { Connections, Lease } from './connections.ts'
import { describe, Execution, type RawRow } from './conversation.ts'
import { isServerError, statementError, stateOf, unavailable } from './failures.ts'
import { cancelBackend, endBackend, handleOf, type StatementIdentity } from './identity.ts'
import { isOutcomeOf, lacksTable, type Outcomes, outcomeSql } from './outcomes.ts'
import { parameterTexts } from './parameters.ts'
import type { TypeCatalogue } from './types.ts'

export interface ExecutionOptions {
  readonly engine: string
  readonly connections: Connections
  readonly catalogue: TypeCatalogue
  readonly outcomes: Outcomes
  readonly lease: Lease
  readonly request: StatementRequest
  readonly identity: StatementIdentity
  readonly clock: Clock
}

const canceledState = '57014'

export class PostgreSqlExecution implements ServerStatement<string> {
  readonly engineHandle: EngineHandle
  readonly safeToRepeat: boolean
  readonly inTransaction: boolean
  readonly #options: ExecutionOptions
  readonly #shape: Deferred<RowShape<string>> = deferred<RowShape<string>>()
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

  shape(): Promise<RowShape<string>> {
    return this.#shape.promise
  }

  async next(): Promise<readonly RawRow[] | null> {
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
    const { command } = await this.#options.lease.client.query('COMMIT')
    // What was broken before ends as a ROLLBACK, and the server calls that no error.
    if (command !== 'COMMIT') throw new EngineError('failed', 'The server rolled the statement back.')
  }

  async rollBack(): Promise<void> {
    const { lease } = this.#options
    if (!this.#isCanceled) return lease.rollBack()
    // The last cancel may still be on its way, and would end somebody else's statement.
    if (this.inTransaction) await lease.client.query('ROLLBACK').catch(() => {})
    lease.destroy()
  }

  release(): Promise<void> {
    return this.#options.lease.release()
  }

  destroy(): void {
    this.#options.lease.destroy()
  }

  cancel(): Promise<void> {
    this.#isCanceled = true
    return cancelBackend(this.#options.connections, this.#options.identity)
  }

  end(): Promise<void> {
    const { connections, identity, clock } = this.#options
    return endBackend(connections, identity, clock)
  }

  failureOf(error: unknown): Promise<EngineError> {
    const { engine, request, lease } = this.#options
    const phase = this.#execution ? 'run' : 'prepare'
    return statementError(lease.client, error, engine, phase, { sql: request.sql, prefixed: 0 })
  }

  /** Of what was found here the server knows nothing, and its connection is as good. */
  isServerError(error: unknown): boolean {
    return isServerError(error) || (error instanceof EngineError && error.failure !== 'unavailable')
  }

  isCanceled(error: unknown): boolean {
    return stateOf(error) === canceledState || (error instanceof EngineError && error.failure === 'canceled')
  }

  async #run(): Promise<void> {
    try {
      await this.#execute()
    } catch (error) {
      this.#error = error as Error
      this.#shape.reject(error)
    }
    this.#isSettled = true
    this.#settled.resolve()
  }

  async #execute(): Promise<void> {
    const { lease, request, catalogue } = this.#options
    const { parameters, fields } = await describe(lease.client, request.sql)
    await catalogue.learn([...parameters, ...fields.map(field => field.dataTypeID)])
    const values = parameterTexts(request.parameters, parameters, catalogue)
    this.#goOn()
    await this.#record(fields.length > 0)
    this.#goOn()
    const execution = new Execution(lease.client, values)
    this.#execution = execution
    execution.start()
    this.#shape.resolve({
      columns: fields.map(field => catalogue.columnOf(field)),
      writers: fields.map(field => catalogue.writerOf(field.dataTypeID)),
    })
    await execution.settled
    if (execution.error) throw execution.error
  }

  /** First in its transaction: it waits for the end of an earlier attempt, where there is one. */
  async #record(owesRows: boolean): Promise<void> {
    const { engine, lease, request, identity, outcomes } = this.#options
    if (identity.outcomeTable === null) return
    try {
      await lease.client.query(outcomeSql(identity.outcomeTable), [request.handle, request.attempt, owesRows])
    } catch (error) {
      if (lacksTable(error)) outcomes.forgetTable()
      // To be asked what became of it: an earlier attempt committed after all.
      if (lacksTable(error) || isOutcomeOf(error)) throw unavailable(engine, error)
      throw error
    }
  }

  #goOn(): void {
    if (this.#isStopped) throw new EngineError('canceled', 'The statement was cancelled.')
  }
}
