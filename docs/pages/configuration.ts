/** `docs/configuration.md` and `config/default.yaml`, from the schema. */
import { stringify } from 'yaml'
import { configSchema, expectation, type SchemaNode, variableOf } from '../../src/config/index.ts'

const root = configSchema as SchemaNode

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

function mapValue(node: SchemaNode): SchemaNode | undefined {
  return node.patternProperties && Object.values(node.patternProperties)[0]
}

// ---------------------------------------------------------------- config/default.yaml

/** Every key with its default; what has none stands there as a comment. */
export function defaultYaml(): string {
  const head = [
    '# Every key with its default. A file of your own needs only what differs: name it with --config or LENS_CONFIG.',
    '# Environment variables win over the file, flags over both; docs/configuration.md lists them.',
    '# Units are in the names: …Ms milliseconds, …Bytes bytes. Relative paths start at the working directory.',
  ]
  return `${[...head, ...yamlGroup(root, 0)].join('\n')}\n`
}

function yamlGroup(node: SchemaNode, depth: number): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const indent = '  '.repeat(depth)
    const lines = comment(child, indent)
    if (depth === 0) lines.unshift('')
    if (child.properties) {
      const inner = yamlGroup(child, depth + 1)
      // A group without any default of its own would be an empty value, which is a mistake in a file.
      const empty = inner.every(line => line.trim() === '' || line.trimStart().startsWith('#'))
      return [...lines, `${indent}${empty ? '# ' : ''}${key}:`, ...inner]
    }
    const map = mapValue(child)
    if (map?.properties) {
      const entries = yamlMap(child, map, depth + 1)
      return [...lines, ...(entries.length > 0 ? [`${indent}${key}:`, ...entries] : emptyMap(key, map, indent))]
    }
    return [...lines, yamlLeaf(key, child.default, indent)]
  })
}

/** A map without entries, and as comments what an entry may have. */
function emptyMap(key: string, value: SchemaNode, indent: string): string[] {
  return [
    `${indent}${key}: {}`,
    `${indent}# NAME:`,
    ...yamlGroup(value, 1)
      .flatMap(part => part.split('\n'))
      .map(line => `${indent}# ${line}`),
  ]
}

/** The entries that a map has by default, each with all keys of its value. */
function yamlMap(node: SchemaNode, value: SchemaNode, depth: number): string[] {
  const indent = '  '.repeat(depth)
  return Object.entries((node.default ?? {}) as Record<string, Record<string, unknown>>).flatMap(([name, entry]) => {
    const preset: SchemaNode = {
      properties: Object.fromEntries(
        Object.entries(value.properties ?? {}).map(([key, child]) => [
          key,
          key in entry ? { ...child, default: entry[key] } : child,
        ]),
      ),
    }
    return [`${indent}${name}:`, ...yamlGroup(preset, depth + 1)]
  })
}

function yamlLeaf(key: string, value: unknown, indent: string): string {
  if (value === undefined) return `${indent}# ${key}: …`
  const text = stringify({ [key]: value }, { flowCollectionPadding: false, lineWidth: 0 }).trimEnd()
  return text
    .split('\n')
    .map(line => `${indent}${line}`)
    .join('\n')
}

function comment(node: SchemaNode, indent: string): string[] {
  const range = plain(node) ? '' : ` ${capital(expectation(node))}.`
  const derived = node.derived ? ` Default: ${node.derived}.` : ''
  return wrap(`${node.description ?? ''}${range}${derived}`, 116 - indent.length).map(line => `${indent}# ${line}`)
}

/** Groups, lists and texts without a form of their own: their range goes without saying. */
function plain(node: SchemaNode): boolean {
  if (node.properties || mapValue(node) || node.type === 'array') return true
  return node.type === 'string' && node.pattern === undefined && (node.minLength ?? 0) <= 1
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

// ---------------------------------------------------------------- docs/configuration.md

export function configurationPage(): string {
  return `# Configuration

<!-- Made from src/config/schema.ts by \`npm run docs\`; a test compares. -->

A node takes its configuration from, each over the one before:

1. the defaults below,
2. one YAML file, named by \`--config\` or \`LENS_CONFIG\` ([config/default.yaml](../config/default.yaml) holds every key; a file of your own needs only what differs),
3. environment variables: \`LENS_\` and the key's path in upper case, such as \`LENS_LANES_HEAVY_SLOTS\`; some have a shorter one,
4. flags of \`lens serve\`.

Groups are merged, lists and single values replaced. Every fault is reported at once, with its key and where it was set:

\`\`\`
$ LENS_PORT=http LENS_LANES_HEAVY_SLOT=2 npx lens config check
The configuration has 2 faults:
  LENS_LANES_HEAVY_SLOT: unknown variable; did you mean LENS_LANES_HEAVY_SLOTS? (environment)
  node.port: expected an integer from 0 to 65535, found "http" (LENS_PORT)
\`\`\`

Units are in the names: \`…Ms\` is milliseconds, \`…Bytes\` and \`…BytesMax\` are bytes. Relative paths start at the working directory. Lists in a
variable are separated by commas; an empty variable counts as not set. A Kubernetes service called \`lens\` sets \`LENS_PORT\` in every
container beside it: give the pod \`enableServiceLinks: false\`.

## A table of your own

\`\`\`yaml
engines:
  duckdb: {tables: {sales: ./sales.csv}}
\`\`\`

adds the table \`sales\` to those of the default engine.

## Secrets in files

Every key that holds a secret can be given by a file, as Docker and Kubernetes give secrets: by its variable with \`_FILE\` at the end, or in YAML:

\`\`\`sh
LENS_CLUSTER_SECRET_FILE=/run/secrets/cluster LENS_STORE_URL_FILE=/run/secrets/store-url npx lens serve
\`\`\`

\`\`\`yaml
cluster: {secret: {file: /run/secrets/cluster}}
engines:
  shop: {driver: mysql, url: 'mysql://lens@db.example/shop', password: {file: /run/secrets/shop}}
\`\`\`

One line break at its end is left out. A variable and its \`_FILE\` together are a fault, and so is a file that cannot be read; faults name key and file, never
what is in it. A file that other users may read or change is warned of when a node starts. These keys are secrets: ${secretKeys(
    root,
  )
    .map(key => `\`${key}\``)
    .join(', ')}.

## All keys
${Object.entries(root.properties ?? {})
  .map(([key, node]) => section(key, node))
  .join('')}`
}

/** Keys that hold a secret, as paths; the names of maps as `<name>`. */
function secretKeys(node: SchemaNode, path = ''): string[] {
  if (node.properties)
    return Object.entries(node.properties).flatMap(([key, child]) => secretKeys(child, join(path, key)))
  const map = mapValue(node)
  if (map) return secretKeys(map, join(path, '<name>'))
  return node.secret ? [path] : []
}

function section(key: string, node: SchemaNode): string {
  const rows = leaves(node, key).map(leaf => `| ${leaf.join(' | ')} |\n`)
  const intro = node.properties || mapValue(node) ? `\n${node.description}\n` : ''
  return `\n### \`${key}\`\n${intro}\n| key | default | accepts | |\n|---|---|---|---|\n${rows.join('')}`
}

/** Key (with its short variable), default, range, sentence. */
function leaves(node: SchemaNode, path: string): string[][] {
  if (node.properties) return Object.entries(node.properties).flatMap(([key, child]) => leaves(child, join(path, key)))
  const map = mapValue(node)
  if (map?.properties) return leaves(map, join(path, '<name>'))
  const long = path.includes('<') ? undefined : variableOf(path)
  const variable = node.env && node.env !== long ? `<br>\`${node.env}\`` : ''
  return [[`\`${path}\`${variable}`, defaultOf(node), accepts(node), cell(node.description ?? '')]]
}

function defaultOf(node: SchemaNode): string {
  if (node.derived) return cell(node.derived)
  if (node.default === undefined) return 'not set'
  if (Array.isArray(node.default)) return node.default.length === 0 ? 'none' : `\`${node.default.join(', ')}\``
  return typeof node.default === 'object' ? 'none' : `\`${node.default}\``
}

function accepts(node: SchemaNode): string {
  if (mapValue(node)) return 'names with texts'
  return plain(node) && node.type === 'string' ? 'a text' : cell(expectation(node))
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;')
}
