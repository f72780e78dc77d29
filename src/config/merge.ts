/** Lays one source of values over another along the schema, and notes what does not fit instead of stopping at it. */
import { Value } from 'typebox/value'
import { type ConfigFault, expectation, knownKeys, nearestKey, shown } from './faults.ts'
import { isSecretFile, secretIn, tooOpen } from './secret-file.ts'
import { isTree, join, mapOf, newTree, type SchemaNode, type Tree } from './tree.ts'

/** A fresh tree of all defaults below `node`; leaves without one are absent. */
export function defaultsOf(node: SchemaNode): unknown {
  if (node.properties) {
    const tree = newTree()
    for (const [key, child] of Object.entries(node.properties)) {
      const value = defaultsOf(child)
      if (value !== undefined) tree[key] = value
    }
    return tree
  }
  const map = mapOf(node)
  if (!map) return structuredClone(node.default)
  const tree = newTree()
  for (const [name, value] of Object.entries((node.default ?? {}) as Tree)) {
    tree[name] = isTree(value) ? overlaid(map.value, value) : value
  }
  return tree
}

/** The defaults of a map's value with what the map's own default says of it: a part of the schema, so without faults. */
function overlaid(node: SchemaNode, value: Tree): unknown {
  const tree = defaultsOf(node)
  if (isTree(tree)) Object.assign(tree, structuredClone(value))
  return tree
}

export class Merge {
  readonly faults: ConfigFault[] = []
  /** What works, and should not stay as it is. */
  readonly warnings: string[] = []
  readonly #root: SchemaNode
  readonly #cwd: string
  readonly #faulty = new Set<string>()

  /** `cwd`: where the paths of files of secrets start. */
  constructor(root: SchemaNode, cwd = process.cwd()) {
    this.#root = root
    this.#cwd = cwd
  }

  fault(key: string, message: string, source: string | null): void {
    this.faults.push({ key, message, source })
    this.#faulty.add(key)
  }

  /** Whether a key was found faulty; what depends on it is then not judged. */
  isFaulty(key: string): boolean {
    return this.#faulty.has(key)
  }

  /** Lays `from` over `into`. `sourceOf` names the origin of a key. */
  lay(into: Tree, from: unknown, sourceOf: (key: string) => string): void {
    this.#group(this.#root, '', into, from, sourceOf)
  }

  #group(node: SchemaNode, path: string, into: Tree, from: unknown, sourceOf: (key: string) => string): void {
    if (!isTree(from)) {
      this.fault(path, `expected ${expectation(node)}, found ${shown(from, node)}`, sourceOf(path))
      return
    }
    const map = mapOf(node)
    for (const key of Object.keys(from)) {
      const childPath = join(path, key)
      if (map && !map.pattern.test(key)) {
        this.fault(childPath, `expected a name like ${map.pattern.source}`, sourceOf(childPath))
        continue
      }
      const child = map ? map.value : Object.hasOwn(node.properties ?? {}, key) ? node.properties?.[key] : undefined
      if (!child) this.#unknown(node, childPath, sourceOf)
      // An empty value takes an entry out of a map; anywhere else it is a mistake.
      else if (map && from[key] === null) delete into[key]
      else if (child.properties || mapOf(child)) {
        if (!isTree(into[key])) into[key] = defaultsOf(child)
        this.#group(child, childPath, into[key] as Tree, from[key], sourceOf)
      } else this.#leaf(child, childPath, key, into, from[key], sourceOf)
    }
  }

  #leaf(
    node: SchemaNode,
    path: string,
    key: string,
    into: Tree,
    given: unknown,
    sourceOf: (key: string) => string,
  ): void {
    let value = given
    if (node.secret && isSecretFile(given)) {
      try {
        value = secretIn(given, this.#cwd)
      } catch (error) {
        this.fault(path, (error as Error).message, sourceOf(path))
        return
      }
      if (value === '') {
        this.fault(path, `expected a file that is not empty: ${given.file}`, sourceOf(path))
        return
      }
      const warning = tooOpen(given.file, this.#cwd)
      if (warning !== null) this.warnings.push(`${path}: ${warning}`)
    }
    if (Value.Check(node as Parameters<typeof Value.Check>[0], value)) into[key] = value
    else this.fault(path, `expected ${expectation(node)}, found ${shown(value, node)}`, sourceOf(path))
  }

  #unknown(group: SchemaNode, path: string, sourceOf: (key: string) => string): void {
    const known = knownKeys(this.#root)
    const nearest = nearestKey(path, known)
    const here = Object.keys(group.properties ?? {}).join(', ')
    this.fault(
      path,
      nearest ? `unknown key; did you mean ${nearest}? Known here: ${here}` : `unknown key; known here: ${here}`,
      sourceOf(path),
    )
  }
}
