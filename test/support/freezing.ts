/** Freezing a node of an embedded store. */
import { readdirSync, readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { eventually } from './conditions.ts'
import type { NodeProcess } from './nodes.ts'

/**
 * Stops a node between two of its transactions. In the middle of one it would hold the file's lock, which nobody can take from it:
 * everybody else would wait for its wakening, and no test is about that.
 */
export async function freezeWithoutLock(node: NodeProcess, storeUrl: string): Promise<void> {
  await eventually(async () => {
    node.signal('SIGSTOP')
    await eventually(() => isStopped(node.pid))
    // Longer than any transaction of those who go on.
    using database = new DatabaseSync(storeUrl.slice('sqlite:'.length), { timeout: 2_000 })
    try {
      database.exec('BEGIN IMMEDIATE')
      database.exec('ROLLBACK')
      return true
    } catch {
      node.signal('SIGCONT')
      return false
    }
  })
}

/** All of its threads: each is stopped where it is. */
function isStopped(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every(task =>
    /^State:\s+T/m.test(readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8')),
  )
}
