/**
 * From the configuration's words for a table (a file, a folder, a pattern, a file of an installed package) to the files it
 * consists of. The engine's process sees them through links in a folder of its own, so that neither plans nor messages nor
 * catalogue views can show where the server keeps its files.
 */
import { globSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

export type FileKind = 'parquet' | 'csv' | 'json'

/** One table, ready to be linked and read. */
export interface TableSource {
  readonly name: string
  readonly kind: FileKind
  /** The link `tables/<link>` points to this absolute path. */
  readonly link: string
  readonly target: string
  /** Relative to the engine's folder, through the link; in order, at least one. */
  readonly files: readonly string[]
  /** Folders named `key=value` give columns. */
  readonly partitioned: boolean
}

const kindByExtension: Readonly<Record<string, FileKind>> = {
  parquet: 'parquet',
  pq: 'parquet',
  csv: 'csv',
  tsv: 'csv',
  txt: 'csv',
  json: 'json',
  jsonl: 'json',
  ndjson: 'json',
}

/** Throws an `Error` that names the table and what is wrong with it; for operators, never for clients. */
export function resolveTable(name: string, location: string): TableSource {
  const fail = (reason: string): never => {
    throw new Error(`table ${name} (${location}): ${reason}`)
  }
  const path = location.startsWith('package:')
    ? packagePath(location.slice('package:'.length), fail)
    : resolve(location)
  const { base, files } = filesOf(path, fail)
  if (files.length === 0) fail('no Parquet, CSV or JSON file is there')
  const kinds = new Set(files.map(file => kindOf(file)))
  if (kinds.size > 1) fail(`holds files of several kinds: ${[...kinds].join(', ')}`)
  const single = base === files[0]
  const link = single ? `${name}${basename(base).slice(basename(base).indexOf('.'))}` : name
  const linked = files.map(file =>
    single ? `tables/${link}` : `tables/${link}/${relative(base, file).split(sep).join('/')}`,
  )
  const partitioned = linked.some(file =>
    file
      .split('/')
      .slice(2, -1)
      .some(part => part.includes('=')),
  )
  return { name, kind: kindOf(files[0] as string) as FileKind, link, target: base, files: linked, partitioned }
}

function filesOf(path: string, fail: (reason: string) => never): { base: string; files: string[] } {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat?.isFile())
    return kindOf(path) ? { base: path, files: [path] } : fail('its extension is none of Parquet, CSV or JSON')
  if (stat?.isDirectory()) return { base: path, files: listed(path) }
  if (!/[*?[{]/.test(path)) return fail('there is no such file or folder')
  const firstPattern = path.split(sep).findIndex(part => /[*?[{]/.test(part))
  const base = path.split(sep).slice(0, firstPattern).join(sep) || sep
  const files = globSync(path).filter(file => kindOf(file) && statSync(file).isFile())
  return { base, files: files.sort() }
}

function listed(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => !/^[._]/.test(entry.name) && kindOf(entry.name) !== undefined)
    .map(entry => join(entry.parentPath, entry.name))
    .filter(file => statSync(file).isFile())
    .sort()
}

function kindOf(file: string): FileKind | undefined {
  const extensions = basename(file).toLowerCase().split('.')
  const last = extensions.at(-1) ?? ''
  const compressed = last === 'gz' || last === 'zst'
  const kind = kindByExtension[(compressed ? extensions.at(-2) : last) ?? '']
  return compressed && kind === 'parquet' ? undefined : kind
}

// A package's `exports` may hide its data from resolution, so its folder is found through its entry point.
function packagePath(specifier: string, fail: (reason: string) => never): string {
  const parts = specifier.split('/')
  const name = parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
  const inside = parts.slice(name.split('/').length).join('/')
  const folder = packageFolder(name)
  if (!folder) return fail(`the package ${name} is not installed`)
  const path = join(folder, inside)
  const within = relative(folder, path)
  return within.startsWith('..') || isAbsolute(within) ? fail('leads out of its package') : path
}

function packageFolder(name: string): string | undefined {
  let entry: string
  try {
    entry = fileURLToPath(import.meta.resolve(name))
  } catch {
    return undefined
  }
  for (let folder = dirname(entry); folder !== dirname(folder); folder = dirname(folder)) {
    try {
      if (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name === name) return folder
    } catch {
      // No readable package.json here: further up.
    }
  }
  return undefined
}

/** The view's text, for the engine's own folder as working directory. */
export function viewStatement(table: TableSource): string {
  const files = `[${table.files.map(quotedText).join(', ')}]`
  const options = [
    ...(table.files.length > 1 ? ['union_by_name = true'] : []),
    ...(table.partitioned ? ['hive_partitioning = true'] : []),
  ].map(option => `, ${option}`)
  const read = { parquet: 'read_parquet', csv: 'read_csv', json: 'read_json' }[table.kind]
  return `CREATE VIEW "${table.name.replaceAll('"', '""')}" AS SELECT * FROM ${read}(${files}${options.join('')})`
}

export function quotedText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
