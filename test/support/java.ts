/** Java as it is installed, and what Maven Central has for it: for what is tested against programs in Java. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createWriteStream, existsSync } from 'node:fs'
import { mkdir, readdir, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const jvmFolder = '/usr/lib/jvm'
const repository = 'https://repo1.maven.org/maven2'

export interface Java {
  /** `JAVA_HOME`. */
  readonly home: string
  /** 17, 25, … */
  readonly version: number
}

/** All that JAVA_HOME, PATH and Debian's folder have, the oldest first. Rejects when there is none. */
export async function installedJavas(): Promise<readonly Java[]> {
  const listed = (await readdir(jvmFolder).catch((): string[] => [])).map(name => join(jvmFolder, name))
  const onPath = (process.env.PATH ?? '').split(':').map(path => join(path, '..'))
  const found: Java[] = []
  for (const home of [process.env.JAVA_HOME ?? '', ...listed, ...onPath]) {
    if (!existsSync(join(home, 'bin/java'))) continue
    const { stderr } = await execute(join(home, 'bin/java'), ['-version']).catch(() => ({ stderr: '' }))
    const version = Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0)
    if (version > 0) found.push({ home, version })
  }
  if (found.length === 0)
    throw new Error(
      `no Java is installed: JAVA_HOME, PATH and ${jvmFolder} have none (Debian: openjdk-17-jdk-headless)`,
    )
  return found.sort((a, b) => a.version - b.version)
}

/** `group:artifact:version` as `path`, checked by the sum that lies beside it. Rejects with the reason why it cannot be had. */
export async function fetchArtifact(coordinate: string, path: string, ending = 'jar'): Promise<void> {
  if (existsSync(path)) return
  const [group = '', artifact = '', version = ''] = coordinate.split(':')
  const url = `${repository}/${group.replaceAll('.', '/')}/${artifact}/${version}/${artifact}-${version}.${ending}`
  const failed = (why: unknown) => new Error(`${url}: ${why}`)
  const [answer, sum] = await Promise.all([fetch(url), fetch(`${url}.sha1`).then(said => said.text())]).catch(error => {
    throw failed((error as Error).cause ?? error)
  })
  if (!answer.ok || !answer.body) throw failed(`HTTP ${answer.status}`)
  await mkdir(dirname(path), { recursive: true })
  const hash = createHash('sha1')
  const counted = new Transform({
    transform(chunk, _encoding, done) {
      hash.update(chunk)
      done(null, chunk)
    },
  })
  await pipeline(Readable.fromWeb(answer.body as never), counted, createWriteStream(`${path}.part`))
  if (hash.digest('hex') !== sum.trim().slice(0, 40)) throw failed('its checksum is another')
  await rename(`${path}.part`, path)
}
