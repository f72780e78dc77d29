/** The schema seen as a tree of plain JSON Schema, and values as trees of plain objects: what the loader walks. */

export type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T

/** A value being put together. Without prototype, so that no key of a file can reach one. */
export type Tree = { [key: string]: unknown }

/** What the loader and the reference read of a schema; typebox schemas are JSON Schema objects with our notes beside. */
export interface SchemaNode {
  readonly type?: 'object' | 'string' | 'integer' | 'boolean' | 'array'
  readonly enum?: readonly string[]
  readonly description?: string
  readonly default?: unknown
  readonly derived?: string
  readonly env?: string
  readonly secret?: boolean
  readonly unit?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly pattern?: string
  readonly items?: SchemaNode
  readonly required?: readonly string[]
  /** A group of fixed keys. */
  readonly properties?: Readonly<Record<string, SchemaNode>>
  /** A map of free names: one pattern for the names, one schema for the values. */
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>
}

export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function newTree(): Tree {
  return Object.create(null) as Tree
}

/** Name pattern and value schema of a map; undefined for what is not a map. */
export function mapOf(node: SchemaNode): { readonly pattern: RegExp; readonly value: SchemaNode } | undefined {
  const entry = node.patternProperties && Object.entries(node.patternProperties)[0]
  return entry && { pattern: new RegExp(entry[0]), value: entry[1] }
}

/** `sessionsPerUser` → `SESSIONS_PER_USER`. */
export function upperSnake(name: string): string {
  return name
    .replace(/[A-Z]/g, letter => `_${letter}`)
    .replaceAll('-', '_')
    .toUpperCase()
}

export function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

/** The value at a dotted path; undefined when any step is missing. */
export function valueAt(tree: unknown, path: string): unknown {
  let value = tree
  for (const key of path.split('.')) value = isTree(value) ? value[key] : undefined
  return value
}

/** Sets the value at a dotted path; groups on the way are made. */
export function setAt(tree: Tree, path: readonly string[], value: unknown): void {
  let group = tree
  for (const key of path.slice(0, -1)) {
    const found = group[key]
    const next = isTree(found) ? found : newTree()
    group[key] = next
    group = next
  }
  group[path.at(-1) as string] = value
}
