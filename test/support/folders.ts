/** Temporary folders that go when their test ends. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What a test's `t` offers to clean up after itself. */
export interface Teardown {
  teardown(task: () => unknown): void
}

/** A new folder, removed with all that is in it when the test ends (before what was registered earlier is torn down). */
export async function temporaryFolder(t: Teardown, name = 'test'): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `lens-ha-${name}-`))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}
