/** What was typed, across runs: a file in the user's home folder that only they can read, newest entry last. */
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

export const entriesMax = 1000

/** In `HOME`, as shells have it. */
export function historyFile(): string {
  return join(homedir(), '.lens_history')
}

/** Newest first, as node:readline wants it. */
export async function readHistory(file: string): Promise<string[]> {
  const content = await readFile(file, 'utf8').catch(() => '')
  return content
    .split('\n')
    .filter(entry => entry !== '')
    .slice(-entriesMax)
    .reverse()
}

/** Never fails: a shell without history is still a shell. */
export async function writeHistory(file: string, newestFirst: readonly string[]): Promise<void> {
  const entries = newestFirst.slice(0, entriesMax).reverse()
  try {
    await writeFile(file, entries.map(entry => `${entry.replaceAll('\n', ' ')}\n`).join(''), { mode: 0o600 })
    await chmod(file, 0o600)
  } catch {
    // A home folder that cannot be written.
  }
}
