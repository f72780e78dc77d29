/**
 * Servers that tests need and npm does not bring: used where they are installed, installed where that is possible without
 * asking anybody (as root on Debian), and else named, so that whoever runs the tests knows what is missing. Never skipped.
 */
import { execFile } from 'node:child_process'
import { access, constants, readdir } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
/** Servers live in folders that an ordinary user's PATH leaves out. */
const serverFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin']
/** Debian keeps each PostgreSQL beside the others: `15/bin`, `17/bin`. */
const postgresFolder = '/usr/lib/postgresql'

/** The first of these programs that is installed, with its path; null when none is. */
export async function installedProgram(names: readonly string[]): Promise<string | null> {
  const versions = await readdir(postgresFolder).catch((): string[] => [])
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter).filter(folder => folder !== ''),
    ...serverFolders,
    ...versions.sort((a, b) => Number(b) - Number(a)).map(version => join(postgresFolder, version, 'bin')),
  ]
  for (const name of names)
    for (const folder of folders)
      try {
        await access(join(folder, name), constants.X_OK)
        return join(folder, name)
      } catch {
        // not here
      }
  return null
}

/**
 * The path of the first of these programs; when none is installed, the Debian package is, if this is Debian and we are
 * root. Rejects with what to install otherwise.
 */
export async function requiredProgram(names: readonly string[], debianPackage: string): Promise<string> {
  const found = await installedProgram(names)
  if (found) return found
  const missing = `none of ${names.join(', ')} is installed: the tests need the package ${debianPackage} (apt-get install ${debianPackage})`
  const isDebian = await access('/etc/debian_version').then(
    () => true,
    () => false,
  )
  if (!isDebian || process.getuid?.() !== 0) throw new Error(missing)
  process.stderr.write(`installing ${debianPackage}, which the tests need\n`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const wait = ['-o', 'DPkg::Lock::Timeout=300']
  try {
    await execute('apt-get', ['-qq', ...wait, 'update'], { env })
    await execute('apt-get', ['-qq', '-y', ...wait, '--no-install-recommends', 'install', debianPackage], { env })
  } catch (error) {
    throw new Error(`${missing}; installing it failed`, { cause: error })
  }
  const installed = await installedProgram(names)
  if (!installed) throw new Error(`${debianPackage} was installed and brought none of ${names.join(', ')}`)
  return installed
}
