/**
 * Files that nobody will read: of a node that died between a page and its row, or between the end of rows and that of their files.
 * Whatever leaves some behind, what the folder holds is compared with what the store knows, long before it forgets the query.
 */
import type { Dirent } from 'node:fs'
import { opendir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { RetentionStore } from '../store/contract.ts'
import { isMissing } from './directory.ts'

const handlesInOneQuestion = 200
const handlePattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * Removes the folders of queries that have ended and have no rows; what the store does not know stays, for it may be another
 * cluster's. Gives how many went. `goesOn` false ends it early.
 */
export async function removeLeftovers(
  directory: string,
  store: Pick<RetentionStore, 'withoutRows'>,
  goesOn: () => boolean,
): Promise<number> {
  let removed = 0
  const judge = async (handles: readonly string[]) => {
    const left = await store.withoutRows(handles)
    for (const handle of left) await rm(join(directory, handle), { recursive: true, force: true })
    removed += left.length
  }
  let handles: string[] = []
  for await (const entry of await opendir(directory).catch(unlessMissing)) {
    if (!goesOn()) return removed
    if (!entry.isDirectory() || !handlePattern.test(entry.name)) continue
    handles.push(entry.name)
    if (handles.length < handlesInOneQuestion) continue
    await judge(handles)
    handles = []
  }
  if (goesOn()) await judge(handles)
  return removed
}

/** Nobody has stored rows yet. */
function unlessMissing(error: unknown): readonly Dirent[] {
  if (isMissing(error)) return []
  throw error
}
