/** Opens DuckDB engines over real files for tests; what they start ends with the test. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { systemClock, systemRandom } from '../../src/async/index.ts'
import { type DuckDbConfiguration, type EngineDriver, openEngines } from '../../src/engines/index.ts'
import { eventually } from '../support/conditions.ts'
import { temporaryFolder } from '../support/folders.ts'

export interface LogEntry {
  readonly fields: Readonly<Record<string, unknown>>
  readonly message: string
}

export interface OpenedDuckDb {
  readonly driver: EngineDriver
  readonly log: LogEntry[]
  readonly folder: string
  /** The process that serves shared statements now. */
  pid(): number
}

/** `tables`: contents by file name; a table is named after its file. `more` adds tables and settings. */
export async function openDuckDb(
  t: ExecutionContext,
  tables: Readonly<Record<string, string>>,
  more: Partial<DuckDbConfiguration> = {},
): Promise<OpenedDuckDb> {
  const folder = await temporaryFolder(t, 'tables')
  const located: Record<string, string> = {}
  for (const [file, content] of Object.entries(tables)) {
    const path = join(folder, file)
    await writeFile(path, content)
    located[file.replace(/\..*$/, '')] = path
  }
  const log: LogEntry[] = []
  const note = (fields: object, message: string) => log.push({ fields: fields as LogEntry['fields'], message })
  const engines = openEngines(
    {
      engines: {
        duckdb: { driver: 'duckdb', slots: { light: 4, heavy: 2 }, ...more, tables: { ...located, ...more.tables } },
      },
    },
    { clock: systemClock, random: systemRandom, logger: { info: note, warn: note, error: note } },
  )
  t.teardown(() => engines.stop())
  await engines.start()
  const driver = engines.choose(null) as EngineDriver
  return {
    driver,
    log,
    folder,
    pid: () => Number(log.findLast(({ message }) => message === 'engine process serves')?.fields.enginePid),
  }
}

/** The process that serves the isolated statement of this handle. */
export function isolatedPid(log: readonly LogEntry[], handle: string): number {
  return Number(log.findLast(({ fields }) => fields.handle === handle)?.fields.enginePid)
}

export async function memoryBytesOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}

/** Kills it and waits until it is really gone, not only signalled. */
export async function killed(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL')
  await eventually(async () => !(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)))
}
