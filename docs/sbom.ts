/**
 * Writes `dist/sbom.cdx.json`: what the package brings along, as CycloneDX. npm reads the lock file, needs no network and gives everything;
 * what it leaves out by itself with `--omit dev` is too much (also what a development dependency needs as well), so the graph is
 * walked here, from what runs on a node, and from what is compiled into the console and so is shipped without being installed.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

interface Component {
  readonly 'bom-ref': string
  readonly name: string
  readonly version: string
  readonly licenses?: readonly { readonly license?: { readonly id?: string }; readonly expression?: string }[]
  readonly properties: readonly { readonly name: string; readonly value: string }[]
}

export interface Sbom {
  readonly metadata: { readonly component: object }
  readonly components: readonly Component[]
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[]
}

/** On each component: `node`, which installs it, or `console`, which contains it. */
export const shippedIn = 'lens-ha:shipped-in'
const root = fileURLToPath(new URL('..', import.meta.url))

export function sbom(): Sbom {
  const { dependencies, devDependencies, optionalDependencies, name } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  )
  const all: Sbom = JSON.parse(
    execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only', '--loglevel', 'silent'], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 << 20,
    }),
  )
  const needs = new Map(all.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]))
  const closure = (versions: Readonly<Record<string, string>>): ReadonlySet<string> => {
    const found = new Set<string>()
    const left = Object.entries(versions).map(([name, version]) => `${name}@${version}`)
    for (let ref = left.pop(); ref !== undefined; ref = left.pop())
      if (!found.has(ref)) {
        found.add(ref)
        left.push(...(needs.get(ref) ?? []))
      }
    return found
  }
  const onNode = closure({ ...dependencies, ...optionalDependencies })
  const bundled = closure(Object.fromEntries(packagesOfConsole().map(name => [name, devDependencies[name]])))
  const components = all.components
    .filter(({ 'bom-ref': ref }) => onNode.has(ref) || bundled.has(ref))
    .map(component => ({
      ...component,
      properties: [{ name: shippedIn, value: onNode.has(component['bom-ref']) ? 'node' : 'console' }],
    }))
  const refs = new Set(components.map(component => component['bom-ref']))
  const own = Object.keys({ ...dependencies, ...optionalDependencies })
  return {
    ...all,
    // npm calls it after the folder that it lies in.
    metadata: { ...all.metadata, component: { ...all.metadata.component, name } },
    components,
    dependencies: all.dependencies
      .filter(({ ref }) => refs.has(ref) || ref.startsWith(`${name}@`))
      .map(({ ref, dependsOn }) => ({
        ref,
        dependsOn: dependsOn.filter(
          other => refs.has(other) && (refs.has(ref) || own.includes(other.slice(0, other.lastIndexOf('@')))),
        ),
      })),
  }
}

/** The packages that the console's sources import, Node's own and those of its build left out. */
export function packagesOfConsole(): string[] {
  const folder = join(root, 'src/console')
  const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    path => /\.tsx?$/.test(path) && path !== 'vite.config.ts',
  )
  const names = sources.flatMap(path =>
    [...readFileSync(join(folder, path), 'utf8').matchAll(/(?:from|import) ?\(?'((?:@[\w-]+\/)?[\w-]+)[^']*'/g)].map(
      ([, name = '']) => name,
    ),
  )
  return [...new Set(names)].filter(name => name !== 'node').sort()
}

// Says nothing: it runs within `npm pack --json`, whose output is read.
if (import.meta.main) {
  mkdirSync(join(root, 'dist'), { recursive: true })
  writeFileSync(join(root, 'dist/sbom.cdx.json'), `${JSON.stringify(sbom(), null, 2)}\n`)
}
