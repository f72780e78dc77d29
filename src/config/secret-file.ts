/**
 * Secrets that lie in files, as Docker and Kubernetes give them: `{file: PATH}` in place of a secret's text in YAML, and
 * `<VARIABLE>_FILE` in the environment, which becomes the same. Whatever is wrong with a file is told with its name, never
 * with what is in it.
 */
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { isTree } from './tree.ts'

/** Where a secret lies instead of the secret itself. */
export interface SecretFile {
  readonly file: string
}

export function isSecretFile(value: unknown): value is SecretFile {
  return isTree(value) && Object.keys(value).length === 1 && typeof value.file === 'string' && value.file !== ''
}

/** The secret without the line break that editors leave at its end. Throws with a message that may be shown. */
export function secretIn({ file }: SecretFile, cwd: string): string {
  const path = resolve(cwd, file)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new Error(`expected a file that can be read: ${(error as Error).message}`)
  }
  return text.replace(/\r?\n$/, '')
}

/** Why the file lies too open, for a warning; null when it does not. Whoever reads it is what it says. */
export function tooOpen(file: string, cwd: string): string | null {
  const path = resolve(cwd, file)
  try {
    const mode = statSync(path).mode & 0o777
    if ((mode & 0o026) === 0) return null
    return `${path} holds a secret and its mode is ${mode.toString(8).padStart(4, '0')}: other users may ${mode & 0o022 ? 'change' : 'read'} it`
  } catch {
    // That it cannot be read is told by whoever reads it.
    return null
  }
}
