/** Environment variables and flags as values of the configuration: names to keys, texts to types. */
import { nearestKey } from './faults.ts'
import type { Merge } from './merge.ts'
import type { SecretFile } from './secret-file.ts'
import { isTree, join, mapOf, newTree, type SchemaNode, setAt, type Tree, upperSnake } from './tree.ts'

/** Variables with our prefix that are not keys: they belong to the command line and to the tests. */
const otherVariables = /^LENS_(CONFIG|SERVER|TOKEN|USER|CA|TEST_.*|BENCH_.*)$/
/** What Kubernetes sets in every container beside a service called `lens`. */
const serviceLinks = /^LENS_(SERVICE_(HOST|PORT.*)|PORT_\d+_TCP.*)$/

/** A tree of the values that variables set, and which variable set which key. */
export interface TextValues {
  readonly tree: Tree
  readonly sources: ReadonlyMap<string, string>
}

/**
 * Reads every `LENS_…` variable. `current` holds the names that maps already have (engines, tables), so that
 * `LENS_ENGINES_DUCKDB_THREADS` finds them. An empty variable counts as not set.
 */
export function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  schema: SchemaNode,
  current: Tree,
  merge: Merge,
): TextValues {
  const tree = newTree()
  const sources = new Map<string, string>()
  const short = shortVariables(schema)
  for (const [variable, text] of Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!variable.startsWith('LENS_') || otherVariables.test(variable) || serviceLinks.test(variable)) continue
    if (text === undefined || text === '') continue
    const named = (name: string) => short.get(name) ?? keyOf(name.slice('LENS_'.length), schema, current)
    const plain = named(variable)
    const found = plain ?? secretOf(variable, named)
    if (!found) {
      const meant = nearestKey(variable, [...variables(schema), ...short.keys()])
      merge.fault('', `${variable}: unknown variable; did you mean ${meant}?`, 'environment')
      continue
    }
    const key = found.path.join('.')
    const before = sources.get(key)
    if (before !== undefined && (env[before] !== text || !plain)) {
      merge.fault(key, `set twice and differently, by ${before} and by ${variable}`, 'environment')
      continue
    }
    sources.set(key, variable)
    setAt(tree, found.path, plain ? fromText(found.node, text) : ({ file: text } satisfies SecretFile))
  }
  return { tree, sources }
}

/** The secret whose file a variable names: `LENS_CLUSTER_SECRET_FILE`. A key that is called so itself comes first. */
function secretOf(variable: string, named: (variable: string) => Found | undefined): Found | undefined {
  const found = variable.endsWith('_FILE') ? named(variable.slice(0, -'_FILE'.length)) : undefined
  return found?.node.secret ? found : undefined
}

/** Flags: dotted keys with texts or values of the right type. */
export function readOverrides(overrides: Readonly<Record<string, unknown>>, schema: SchemaNode): Tree {
  const tree = newTree()
  for (const [key, value] of Object.entries(overrides)) {
    if (value === undefined) continue
    const path = key.split('.')
    const node = nodeAt(schema, path)
    setAt(tree, path, node && typeof value === 'string' ? fromText(node, value) : value)
  }
  return tree
}

/** The variable made from a key's path: `lanes.heavyFromCost` → `LENS_LANES_HEAVY_FROM_COST`. */
export function variableOf(key: string): string {
  return `LENS_${key.split('.').map(upperSnake).join('_')}`
}

function variables(node: SchemaNode, path = ''): string[] {
  if (!node.properties) return mapOf(node) ? [] : [variableOf(path)]
  return Object.entries(node.properties).flatMap(([key, child]) => variables(child, join(path, key)))
}

interface Found {
  readonly path: readonly string[]
  readonly node: SchemaNode
}

function shortVariables(node: SchemaNode, path: readonly string[] = []): Map<string, Found> {
  const found = new Map<string, Found>()
  if (node.env) found.set(node.env, { path, node })
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    for (const [variable, leaf] of shortVariables(child, [...path, key])) found.set(variable, leaf)
  }
  return found
}

/** Finds the leaf that `rest` (upper snake case, without prefix) names; words of a key and steps of a path look alike. */
function keyOf(rest: string, node: SchemaNode, current: unknown, path: readonly string[] = []): Found | undefined {
  if (!node.properties && !mapOf(node)) return rest === '' ? { path, node } : undefined
  const step = (name: string, child: SchemaNode): Found | undefined => {
    const word = upperSnake(name)
    if (rest !== word && !rest.startsWith(`${word}_`)) return undefined
    return keyOf(rest.slice(word.length + 1), child, isTree(current) ? current[name] : undefined, [...path, name])
  }
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    const found = step(key, child)
    if (found) return found
  }
  const map = mapOf(node)
  if (!map) return undefined
  for (const name of Object.keys(isTree(current) ? current : {})) {
    const found = step(name, map.value)
    if (found) return found
  }
  // A new name: the shortest one that leaves a key of the value behind it; in lower case, since the variable has no case.
  const words = rest.split('_')
  for (let length = 1; length <= words.length; length++) {
    const name = words.slice(0, length).join('_').toLowerCase()
    const found = map.pattern.test(name) && keyOf(words.slice(length).join('_'), map.value, undefined, [...path, name])
    if (found) return found
  }
  return undefined
}

function nodeAt(schema: SchemaNode, path: readonly string[]): SchemaNode | undefined {
  let node: SchemaNode | undefined = schema
  for (const key of path)
    node =
      node && (mapOf(node)?.value ?? (Object.hasOwn(node.properties ?? {}, key) ? node.properties?.[key] : undefined))
  return node
}

/** The text as the leaf's type, or the text itself when it is none: the check then says what was expected. */
function fromText(node: SchemaNode, text: string): unknown {
  if (node.type === 'integer') return /^[+-]?\d+$/.test(text.trim()) ? Number(text) : text
  if (node.type === 'boolean') return text === 'true' || (text === 'false' ? false : text)
  if (node.type === 'array')
    return text
      .split(',')
      .map(item => item.trim())
      .filter(item => item !== '')
  return text
}
