/** The console as its sources are now: built once where the build is older than they are, however many test files ask at once. */
import { execFile } from 'node:child_process'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { eventually } from './conditions.ts'

const root = new URL('../..', import.meta.url).pathname
const manifest = join(root, 'dist/console/manifest.json')
const lock = join(root, 'node_modules/.cache/console-build.lock')

/** The build's folder. */
export async function builtConsole(): Promise<string> {
  // The manifest stands before the compressed copies do: while somebody builds, nothing is whole.
  if ((await isStale()) || (await timeOfLock()) > 0) await buildAlone()
  return join(root, 'dist/console')
}

async function isStale(): Promise<boolean> {
  const builtAt = await timeOf(manifest)
  for (const folder of ['src/console', 'src/client']) {
    for (const name of await readdir(join(root, folder), { recursive: true }))
      if ((await timeOf(join(root, folder, name))) > builtAt) return true
  }
  return false
}

async function timeOf(path: string): Promise<number> {
  return stat(path).then(
    found => (found.isFile() ? found.mtimeMs : 0),
    () => 0,
  )
}

async function timeOfLock(): Promise<number> {
  return stat(lock).then(
    found => found.mtimeMs,
    () => 0,
  )
}

async function buildAlone(): Promise<void> {
  await mkdir(join(root, 'node_modules/.cache'), { recursive: true })
  const isMine = () =>
    mkdir(lock).then(
      () => true,
      () => false,
    )
  // A lock that is older than any build belongs to nobody any more.
  const lockAge = await stat(lock).then(
    found => Date.now() - found.mtimeMs,
    () => 0,
  )
  if (lockAge > 120_000) await rm(lock, { recursive: true, force: true })
  let mine = false
  await eventually(
    async () => {
      mine = await isMine()
      return mine
    },
    done => done,
    { what: 'the console is built', withinMs: 120_000 },
  )
  try {
    if (await isStale())
      await promisify(execFile)(
        process.execPath,
        [join(root, 'node_modules/vite/bin/vite.js'), 'build', 'src/console', '--logLevel', 'warn'],
        { cwd: root },
      )
  } finally {
    await rm(lock, { recursive: true, force: true })
  }
}
