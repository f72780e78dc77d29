/** The project's own files, as the house rules read them. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'

/** The top folder of the project. */
export const root = new URL('../..', import.meta.url).pathname.replace(/\/$/, '')

/** Files below a folder whose name ends in one of `endings`, relative to the top, sorted; what npm installed there is not ours. */
export function filesBelow(folder: string, endings: readonly string[]): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => !name.split(sep).includes('node_modules'))
    .map(name => join(folder, name))
    .filter(path => endings.some(ending => path.endsWith(ending)) && statSync(join(root, path)).isFile())
    .sort()
}

export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

/** A source without its comments, line for line; texts stay. */
export function withoutComments(source: string): string {
  const blank = (text: string) => text.replace(/[^\n]/g, ' ')
  const pattern = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g
  return source.replace(pattern, found => (found.startsWith('/*') || found.startsWith('//') ? blank(found) : found))
}

export interface Import {
  readonly specifier: string
  readonly line: number
}

/** Everything that a file imports or exports from elsewhere, types and dynamic imports of literal names included. */
export function importsOf(path: string): Import[] {
  const source = withoutComments(read(path))
  const pattern = /(?:\bfrom\s*|\bimport\s*\(\s*|^\s*import\s+)(['"])([^'"\n]+)\1/gm
  return [...source.matchAll(pattern)].map(match => ({
    specifier: match[2] as string,
    line: source.slice(0, match.index).split('\n').length + (match[0].match(/^\n*/)?.[0].length ?? 0),
  }))
}

/** The file that a relative import names, relative to the top. */
export function target(path: string, specifier: string): string {
  return relative(root, join(root, dirname(path), specifier))
}
