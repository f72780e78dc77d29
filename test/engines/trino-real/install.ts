/**
 * Trino's own server, from its archive: the newest version that the newest Java on this machine can run. What of it no test needs (most
 * connectors) is not unpacked.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { fetchArtifact, installedJavas, type Java } from '../../support/java.ts'

/** Trino's versions and the oldest Java that runs them, the newest first. */
const versions = [
  { trino: '476', java: 24 },
  { trino: '470', java: 23 },
  { trino: '435', java: 17 },
] as const
const connectors = ['memory', 'tpch', 'password-authenticators']
/** Survives runs, and goes with the dependencies. */
const folder = fileURLToPath(new URL('../../../node_modules/.cache/trino/', import.meta.url))

export interface InstalledTrino {
  readonly version: string
  /** Has `bin`, `lib` and `plugin` in it. */
  readonly home: string
  readonly javaHome: string
  readonly java: number
}

/** `archive`: a path, in place of the one that is fetched. Rejects saying what is missing. */
export async function installTrino(archive: string | undefined, say: (text: string) => void): Promise<InstalledTrino> {
  const { home: javaHome, version: java } = (await installedJavas()).at(-1) as Java
  if (archive !== undefined) {
    const version = /trino-server-(\d+)/.exec(archive)?.[1] ?? 'unknown'
    return { version, javaHome, java, home: await unpacked(archive, version, say) }
  }
  const tried: string[] = []
  for (const { trino: version } of versions.filter(({ java: atLeast }) => atLeast <= java)) {
    const home = join(folder, `trino-server-${version}`)
    if (existsSync(home)) return { version, home, javaHome, java }
    const path = join(folder, `trino-server-${version}.tar.gz`)
    try {
      say(`fetching Trino ${version}`)
      await fetchArtifact(`io.trino:trino-server:${version}`, path, 'tar.gz')
    } catch (error) {
      tried.push(error instanceof Error ? error.message : String(error))
      continue
    }
    await unpacked(path, version, say)
    await rm(path)
    return { version, home, javaHome, java }
  }
  throw new Error(
    `no archive of Trino for Java ${java} (${tried.join('; ') || `Java ${versions.at(-1)?.java} or later is needed`}); ` +
      'TRINO_SERVER_ARCHIVE may name one that is on this machine',
  )
}

async function unpacked(archive: string, version: string, say: (text: string) => void): Promise<string> {
  const home = join(folder, `trino-server-${version}`)
  if (existsSync(home)) return home
  say(`unpacking ${archive}`)
  const part = `${home}.part`
  await rm(part, { recursive: true, force: true })
  await mkdir(part, { recursive: true })
  const wanted = ['bin', 'lib', ...connectors.map(name => `plugin/${name}`)].map(name => `trino-server-*/${name}/*`)
  const tar = spawn('tar', ['-xz', '--strip-components=1', '--wildcards', '-C', part, ...wanted], {
    stdio: ['pipe', 'inherit', 'inherit'],
  })
  const ended = once(tar, 'close')
  await pipeline(createReadStream(archive), tar.stdin)
  const [code] = await ended
  if (code !== 0) throw new Error(`${archive} cannot be unpacked: tar has ended with ${code}`)
  await writeFile(join(part, 'unpacked'), connectors.join('\n'))
  await rename(part, home)
  return home
}
