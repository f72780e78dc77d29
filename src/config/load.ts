/** Defaults, then one YAML file, then the environment, then flags: checked as a whole, all faults reported at once. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseDocument } from 'yaml'
import { type Random, systemRandom } from '../async/index.ts'
import { derive, sqliteFile } from './derive.ts'
import { readEnvironment, readOverrides } from './environment.ts'
import { ConfigError } from './faults.ts'
import { defaultsOf, Merge } from './merge.ts'
import { type Config, configSchema } from './schema.ts'
import { makeSecret, readSecret } from './secret.ts'
import { newTree, type SchemaNode, type Tree, valueAt } from './tree.ts'

export interface ConfigSources {
  /** Flags: dotted keys (`node.port`) with texts or values. They win. */
  readonly overrides?: Readonly<Record<string, unknown>>
  /** `process.env`, or less. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The YAML file; `LENS_CONFIG` names it otherwise. Without either there is none. */
  readonly file?: string
  /** Where relative paths start. */
  readonly cwd?: string
  /** False only looks: no folder and no secret is made, and a secret that is yet to be made is an empty text. */
  readonly makeSecret?: boolean
  readonly random?: Random
  /** Told what works, and should not stay as it is: a line each, without secrets. */
  readonly warn?: (line: string) => void
}

/** Loads the configuration. Throws one `ConfigError` that lists every fault. */
export function loadConfig(sources: ConfigSources = {}): Config {
  const { overrides = {}, env = {}, cwd = process.cwd(), random = systemRandom } = sources
  const schema = configSchema as SchemaNode
  const merge = new Merge(schema, cwd)
  const tree = defaultsOf(schema) as Tree

  const file = sources.file ?? (env.LENS_CONFIG || undefined)
  const content = file === undefined ? newTree() : readYaml(resolve(cwd, file), merge)
  merge.lay(tree, content, () => file ?? 'file')
  const variables = readEnvironment(env, schema, tree, merge)
  merge.lay(tree, variables.tree, key => variables.sources.get(key) ?? 'environment')
  const flags = readOverrides(overrides, schema)
  merge.lay(tree, flags, () => 'flag')

  const sourceOf = (key: string) => {
    if (valueAt(flags, key) !== undefined) return 'flag'
    return variables.sources.get(key) ?? (valueAt(content, key) === undefined ? null : (file ?? null))
  }
  const config = derive(tree, merge, cwd, sourceOf)
  if (merge.faults.length > 0) throw new ConfigError(merge.faults)
  for (const line of merge.warnings) sources.warn?.(line)
  return withSecret(config, sources.makeSecret ?? true, random)
}

function withSecret(config: Config, make: boolean, random: Random): Config {
  const storeFile = sqliteFile(config.store.url)
  if (config.cluster.secret !== undefined || storeFile === undefined) return config
  try {
    const secret = make ? makeSecret(storeFile, random) : (readSecret(storeFile) ?? '')
    return { ...config, cluster: { ...config.cluster, secret } }
  } catch (error) {
    throw new ConfigError([
      { key: 'cluster.secret', message: `cannot be kept beside the store: ${(error as Error).message}`, source: null },
    ])
  }
}

/** The file's content; nothing when it is empty or cannot be read, which is then a fault. */
function readYaml(path: string, merge: Merge): unknown {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    merge.fault('', `expected a file that can be read: ${(error as Error).message}`, path)
    return newTree()
  }
  const document = parseDocument(text, { prettyErrors: true })
  for (const error of document.errors) merge.fault('', (error.message.split('\n')[0] as string).replace(/:$/, ''), path)
  if (document.errors.length > 0) return newTree()
  const content: unknown = document.toJS({ maxAliasCount: 100 })
  return content ?? newTree()
}
