/** Earlier builds of the program, kept in `test/fixtures/releases`, made ready to run beside the present one. */
import { execFileSync } from 'node:child_process'
import { readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Teardown, temporaryFolder } from '../folders.ts'

export const repository = fileURLToPath(new URL('../../../', import.meta.url))
export const releaseFolder = join(repository, 'test/fixtures/releases')

/** The build before this one, and the last migration that it knows. */
export const previous = { commit: 'f82f5f4', lastMigration: '0001-initial' } as const

export interface Release {
  /** As its members publish it. */
  readonly version: string
  /** The file that Node is given. */
  readonly entry: string
  /** The exact versions that it was built for. */
  readonly dependencies: Readonly<Record<string, string>>
}

/** Unpacks the previous build beside a link to the packages of this repository; gone with the test. */
export async function previousRelease(t: Teardown): Promise<Release> {
  const folder = await temporaryFolder(t, 'release')
  execFileSync('tar', ['xzf', join(releaseFolder, `${previous.commit}.tar.gz`), '-C', folder])
  symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'))
  const { version, dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return { version, dependencies, entry: join(folder, 'dist/main.js') }
}
