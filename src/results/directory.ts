/**
 * Pages as files of a folder that all nodes share: `<directory>/<handle>/<attempt>-<page>`. A file is there whole or not at
 * all, and is durable before the row that names it.
 */
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { LensError } from '../domain/index.ts'

export async function writePageFile(
  directory: string,
  handle: string,
  attempt: number,
  page: number,
  data: Uint8Array,
): Promise<void> {
  const folder = folderOf(directory, handle)
  await mkdir(folder, { recursive: true })
  const path = join(folder, `${attempt}-${page}`)
  // The name tells the attempt, and one attempt has one writer: nobody else writes this temporary file.
  const temporary = `${path}.part`
  const file = await open(temporary, 'w')
  try {
    await file.writeFile(data)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  await syncFolder(folder)
}

export async function readPageFile(
  directory: string,
  handle: string,
  attempt: number,
  page: number,
): Promise<Uint8Array> {
  try {
    return await readFile(join(folderOf(directory, handle), `${attempt}-${page}`))
  } catch (error) {
    if (isMissing(error)) throw new LensError('RESULT_EXPIRED', 'The rows are no longer there.', { cause: error })
    throw error
  }
}

/** Removes what a query left in the directory; of all attempts, or only of those before `beforeAttempt`. Safe when there is nothing. */
export async function removeResultFiles(directory: string, handle: string, beforeAttempt?: number): Promise<void> {
  const folder = folderOf(directory, handle)
  if (beforeAttempt === undefined) {
    await rm(folder, { recursive: true, force: true })
    return
  }
  const names = await readdir(folder).catch(error => {
    if (isMissing(error)) return []
    throw error
  })
  const earlier = names.filter(name => Number.parseInt(name, 10) < beforeAttempt)
  await Promise.all(earlier.map(name => rm(join(folder, name), { force: true })))
}

// A handle is a UUID; nothing else may become part of a path.
function folderOf(directory: string, handle: string): string {
  if (!/^[\w-]+$/.test(handle)) throw new LensError('NOT_FOUND', 'There is no such query.')
  return join(directory, handle)
}

async function syncFolder(folder: string): Promise<void> {
  const opened = await open(folder, 'r')
  try {
    await opened.sync()
  } finally {
    await opened.close()
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
