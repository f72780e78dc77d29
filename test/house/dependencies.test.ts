/** What the project stands on is said, allowed and listed: the page of dependencies, the licences, and the bill of materials. */
import test from 'ava'
import { packagesOfConsole, sbom, shippedIn } from '../../docs/sbom.ts'
import { read } from './sources.ts'

interface Locked {
  readonly version: string
  readonly license?: string
  readonly dev?: boolean
}

const manifest: Record<string, Record<string, string>> = JSON.parse(read('package.json'))
const locked: Record<string, Locked> = JSON.parse(read('package-lock.json')).packages
const onNode = { ...manifest.dependencies, ...manifest.optionalDependencies }

/** Names and licences of one section's table. */
function tableOf(heading: string): [string, string][] {
  const [, section = ''] = read('docs/dependencies.md').split(`## ${heading}\n`)
  const rows = (section.split('\n## ')[0] as string).matchAll(/^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)
  return [...rows].map(([, name = '', licence = '']) => [name, licence])
}

const sorted = (names: Iterable<string>) => [...names].sort()
const namesOf = (heading: string) => sorted(tableOf(heading).map(([name]) => name))

test('every dependency has its reason, and none is left over', t => {
  const console_ = packagesOfConsole()
  t.deepEqual(namesOf('On a node'), sorted(Object.keys(onNode)))
  t.deepEqual(namesOf('Compiled into the console'), console_)
  t.deepEqual(
    namesOf('For development'),
    sorted(Object.keys(manifest.devDependencies ?? {}).filter(name => !console_.includes(name))),
  )
})

test('the page gives the licences that are locked', t => {
  const rows = ['On a node', 'Compiled into the console', 'For development'].flatMap(tableOf)
  t.deepEqual(
    rows,
    rows.map(([name]) => [name, locked[`node_modules/${name}`]?.license ?? 'none']),
  )
})

const exceptions: Readonly<Record<string, string>> = { elkjs: 'EPL-2.0 OR GPL-3.0-or-later' }

test('the bill of materials lists what a node installs and what the console contains, each under a licence that is allowed', t => {
  const [, list = ''] = /may be under: ([^.]+(?:\.\d[^.]*)*)\. /.exec(read('docs/dependencies.md')) ?? []
  const allowed = new Set(list.split(', '))
  t.true(allowed.has('MIT'))
  const { components, dependencies } = sbom()
  const shipped = (where: string) =>
    components.filter(({ properties }) => properties.some(({ name, value }) => name === shippedIn && value === where))
  const identity = ({ name, version }: { name: string; version: string }) => `${name}@${version}`
  // The lock file marks what only development needs; that is another computation than the walk over the graph.
  const production = Object.entries(locked).flatMap(([path, { dev, version }]) =>
    path === '' || dev ? [] : [`${path.split('node_modules/').pop()}@${version}`],
  )
  t.deepEqual(sorted(shipped('node').map(identity)), sorted(new Set(production)))
  t.true(packagesOfConsole().every(name => shipped('console').some(component => component.name === name)))
  const licenceOf = (component: (typeof components)[number]) =>
    component.licenses?.map(({ license, expression }) => expression ?? license?.id).join() ?? 'none'
  t.deepEqual(
    components
      .filter(one => !allowed.has(licenceOf(one)) && exceptions[one.name] !== licenceOf(one))
      .map(one => `${identity(one)}: ${licenceOf(one)}`),
    [],
  )
  const refs = new Set(components.map(component => component['bom-ref']))
  const own = dependencies.filter(({ ref }) => !refs.has(ref))
  t.deepEqual(
    own.map(({ dependsOn }) => dependsOn.length),
    [Object.keys(onNode).length],
  )
  // Whoever reads what NOTICE says has to find each exception there.
  for (const name of Object.keys(exceptions)) t.true(read('NOTICE').includes(name))
})
