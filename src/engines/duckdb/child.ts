/**
 * The engine process: DuckDB runs here, so that no query can take its node down. It ends when its node does: the channel
 * closes however the node dies, and nothing else ends it, so signals to the whole group are left to the node.
 */
import { rmSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { constants, setPriority, tmpdir } from 'node:os'
import { systemClock } from '../../async/index.ts'
import { EngineDatabase } from './database.ts'
import { Execution } from './execution.ts'
import { engineError, isFatal } from './failures.ts'
import { Mailbag } from './mailbag.ts'
import type { CallName, FromProcess, OpenMessage, ProcessStatement, ToProcess } from './protocol.ts'
import { describe, estimate, explain } from './statements.ts'

const calls = { estimate, explain, prepare: describe }
const executions = new Map<number, Execution>()
let database: EngineDatabase | undefined
let folder: string | undefined

const mailbag = new Mailbag<FromProcess>(messages => {
  if (process.connected) process.send?.(messages, undefined, undefined, () => {})
}, systemClock)
const send = (message: FromProcess) => mailbag.post(message)

function end(): void {
  mailbag.flush()
  if (folder !== undefined) {
    try {
      process.chdir(tmpdir())
      rmSync(folder, { recursive: true, force: true })
    } catch {
      // The node removes what is left.
    }
  }
  // Queries may be running on other threads; waiting for them could take for ever.
  process.kill(process.pid, 'SIGKILL')
}

async function open(message: OpenMessage): Promise<void> {
  try {
    folder = message.folder
    process.chdir(folder)
    database = await EngineDatabase.open(message)
    send({ type: 'ready', tables: database.tables })
    // Now, since this process always ends by a kill.
    flushCompileCache()
  } catch (error) {
    send({ type: 'open-failed', message: error instanceof Error ? error.message : String(error) })
  }
}

async function answer(id: number, call: CallName, statement: ProcessStatement): Promise<void> {
  if (!database) return
  const lease = await database.lease()
  try {
    send({ type: 'answer', id, answer: await calls[call](database, lease, statement) })
    void database.release(lease, true)
  } catch (error) {
    if (isFatal(error)) end()
    const { failure, message } = engineError(error, 'run', statement.sql)
    void database.release(lease, false)
    send({ type: 'refused', id, failure, message })
  }
}

function run(id: number, statement: ProcessStatement, credits: number): void {
  if (!database) return
  const execution = new Execution({ id, database, statement, credits, clock: systemClock, send, fatal: end })
  executions.set(id, execution)
  void execution.run().finally(() => executions.delete(id))
}

function receive(message: ToProcess): void {
  switch (message.type) {
    case 'open':
      void open(message)
      break
    case 'call':
      void answer(message.id, message.call, message.statement)
      break
    case 'run':
      run(message.id, message.statement, message.credits)
      break
    case 'credit':
      executions.get(message.id)?.credit()
      break
    case 'cancel':
      executions.get(message.id)?.cancel()
      break
  }
}

process.on('message', (messages: readonly ToProcess[]) => messages.forEach(receive))
// Statements may take every core: the node's heartbeat and its answers come first. Threads begun from here on inherit it.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
process.on('disconnect', end)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
