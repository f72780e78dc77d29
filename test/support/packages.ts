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

/**
 * Test files run side by side and need the same at the same moment. What apt-get locks of itself is not enough: the first to be done
 * cleans away the archives that the second is unpacking. So one after the other, and the second finds that there is nothing left to do.
 */
const lock = '/run/lens-ha-tests-install.lock'
const install = `
[ "$(dpkg-query --show --showformat='\${db:Status-Status}' "$1" 2>/dev/null)" = installed ] && exit 0
apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update &&
apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 --no-install-recommends install "$1"`

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
  try {
    await execute('flock', [lock, 'sh', '-c', install, 'install', debianPackage], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string }
    throw new Error(`${missing}; installing it failed: ${stderr.trim().slice(-1_000)}`, { cause: error })
  }
  const installed = await installedProgram(names)
  if (!installed) throw new Error(`${debianPackage} was installed and brought none of ${names.join(', ')}`)
  return installed
}
