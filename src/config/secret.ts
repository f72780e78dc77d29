/**
 * The cluster secret of a cluster on one machine: made by whichever node starts first, beside the SQLite store that all of
 * them share, readable by their user only.
 */
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Random } from '../async/index.ts'

/** The secret beside the store's file; null when none was made yet. */
export function readSecret(storeFile: string): string | null {
  try {
    const secret = readFileSync(secretFile(storeFile), 'utf8').trim()
    return secret === '' ? null : secret
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** The secret beside the store's file, made when there is none. Nodes that start together agree on one. */
export function makeSecret(storeFile: string, random: Random): string {
  const present = readSecret(storeFile)
  if (present !== null) return present
  const file = secretFile(storeFile)
  mkdirSync(dirname(file), { recursive: true })
  const draft = `${file}.${random.uuid()}`
  try {
    writeFileSync(draft, `${random.secret(32)}\n`, { mode: 0o600, flag: 'wx' })
    // A link either makes the whole file or fails: nobody reads half a secret, and the first one stays.
    linkSync(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(draft, { force: true })
  }
  const secret = readSecret(storeFile)
  if (secret === null) throw new Error(`${file} is empty`)
  return secret
}

function secretFile(storeFile: string): string {
  return join(dirname(storeFile), 'cluster.secret')
}
