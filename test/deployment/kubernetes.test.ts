/**
 * The example for Kubernetes, as far as that can be tried without one: every document is what the API's own types allow, what
 * belongs together fits, and each name of ours in it (variable, key, path, port) exists in the product.
 */
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { parse, parseAllDocuments } from 'yaml'
import { type Config, loadConfig } from '../../src/config/index.ts'
import { temporaryFolder } from '../support/folders.ts'
import { TestCluster } from '../support/nodes.ts'
import { runProcess } from '../support/processes.ts'

const root = new URL('../../', import.meta.url).pathname
const folder = join(root, 'docker/kubernetes')
const kustomization = parse(readFileSync(join(folder, 'kustomization.yaml'), 'utf8'))
const files = readdirSync(folder).filter(name => name !== 'kustomization.yaml')
const documents: readonly any[] = files.flatMap(name =>
  parseAllDocuments(readFileSync(join(folder, name), 'utf8'), { strict: true }).map(document => {
    if (document.errors.length > 0) throw new Error(`${name}: ${document.errors.join('; ')}`)
    return document.toJS()
  }),
)

function theOne(kind: string, name = 'lens'): any {
  const found = documents.filter(document => document.kind === kind && document.metadata.name === name)
  if (found.length !== 1) throw new Error(`${found.length} documents are the ${kind} ${name}`)
  return found[0]
}

const nodes = theOne('StatefulSet')
const template = nodes.spec.template
const container = template.spec.containers[0]

/** What the API's own types say against documents: fields that do not exist, lack, or are of another type. */
async function typeFaults(t: ExecutionContext, given: readonly any[]): Promise<string> {
  const project = await temporaryFolder(t, 'kubernetes')
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'))
  const lines = given.flatMap(({ apiVersion, kind, ...rest }, index) => [
    `import type { I${kind} as Kind${index} } from 'kubernetes-models/${apiVersion}/${kind}'`,
    `export const document${index}: Kind${index} = ${JSON.stringify({ apiVersion, kind, ...rest }, null, 1)}`,
  ])
  writeFileSync(join(project, 'documents.ts'), `${lines.join('\n')}\n`)
  const compilerOptions = {
    module: 'nodenext',
    target: 'es2024',
    strict: true,
    noEmit: true,
    types: [],
    skipLibCheck: true,
  }
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['documents.ts'] }))
  writeFileSync(join(project, 'package.json'), '{"type": "module"}')
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const { code, out } = await runProcess(t, process.execPath, [compiler, '-p', project])
  return code === 0 ? '' : out || 'failed'
}

test('every document is what the types and schemas of the API allow', async t => {
  t.is(await typeFaults(t, documents), '')
  for (const document of documents) {
    const { [document.kind]: Kind } = await import(`kubernetes-models/${document.apiVersion}/${document.kind}`)
    t.notThrows(() => new Kind(document).validate(), `${document.kind} ${document.metadata.name}`)
  }
})

test('a field that the API does not know is found', async t => {
  const wrong = structuredClone(nodes)
  wrong.spec.template.spec.containers[0].readynessProbe = {}
  t.regex(await typeFaults(t, [wrong]), /readynessProbe/)
})

test('kustomize is given every file but the way in from outside', t => {
  t.deepEqual([...kustomization.resources, 'ingress.yaml'].sort(), files.sort())
  t.deepEqual(
    kustomization.images.map(({ name }: { name: string }) => name),
    [container.image],
  )
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  t.is(kustomization.images[0].newTag, version)
})

test('whoever selects the nodes selects them by the labels that they have', t => {
  const { labels } = template.metadata
  const selectors = [
    nodes.spec.selector.matchLabels,
    theOne('Service').spec.selector,
    theOne('Service', 'lens-nodes').spec.selector,
    theOne('PodDisruptionBudget').spec.selector.matchLabels,
    theOne('NetworkPolicy').spec.podSelector.matchLabels,
    theOne('NetworkPolicy').spec.ingress[0].from[0].podSelector.matchLabels,
    ...template.spec.topologySpreadConstraints.map(({ labelSelector }: any) => labelSelector.matchLabels),
  ]
  t.is(selectors.length, 8)
  for (const selector of selectors) t.deepEqual(selector, labels)
  t.is(nodes.spec.serviceName, theOne('Service', 'lens-nodes').metadata.name)
  t.is(theOne('Service', 'lens-nodes').spec.clusterIP, 'None')
  t.true(theOne('Service', 'lens-nodes').spec.publishNotReadyAddresses)
  // One node at a time may go, of more than two.
  t.true(nodes.spec.replicas >= 3)
  t.is(theOne('PodDisruptionBudget').spec.maxUnavailable, 1)
})

test('ports, volumes, secrets and settings that are named exist', t => {
  const ports = container.ports.map(({ name }: any) => name)
  const named = [
    ...[container.startupProbe, container.livenessProbe, container.readinessProbe].map(({ httpGet }) => httpGet.port),
    ...documents
      .filter(({ kind }) => kind === 'Service')
      .flatMap(({ spec }) => spec.ports.map((port: any) => port.targetPort)),
    ...theOne('NetworkPolicy').spec.ingress[0].ports.map(({ port }: any) => port),
    ...theOne('Ingress').spec.rules[0].http.paths.map(({ backend }: any) => backend.service.port.name),
  ]
  for (const port of named) t.true(ports.includes(port), port)
  for (const { backend } of theOne('Ingress').spec.rules[0].http.paths)
    t.truthy(theOne('Service', backend.service.name))
  t.deepEqual(
    container.volumeMounts.map(({ name }: any) => name).sort(),
    template.spec.volumes.map(({ name }: any) => name).sort(),
  )
  for (const { configMap } of template.spec.volumes) if (configMap) t.truthy(theOne('ConfigMap', configMap.name))
  for (const { secret } of template.spec.volumes) if (secret) t.truthy(theOne('Secret', secret.secretName))
  // The group reads them, nobody else, and nobody writes.
  t.is(template.spec.volumes.find(({ name }: any) => name === 'secrets').secret.defaultMode, 0o440)
})

/** The configuration that a pod would load, by the very loader: its variables, with its files where they are mounted. */
async function podConfiguration(t: ExecutionContext, pod: string): Promise<Config> {
  const mounted = await temporaryFolder(t, 'configuration')
  const contents = { configuration: theOne('ConfigMap').data, secrets: theOne('Secret').stringData }
  const mounts: string[] = Object.keys(contents).map(
    volume => container.volumeMounts.find(({ name }: any) => name === volume).mountPath,
  )
  for (const files of Object.values(contents))
    for (const [name, text] of Object.entries<string>(files)) writeFileSync(join(mounted, name), text)
  const fields: Record<string, string> = { 'metadata.name': pod, 'metadata.namespace': kustomization.namespace }
  const env: Record<string, string> = {}
  for (const { name, value, valueFrom } of container.env) {
    const text: string = value ?? fields[valueFrom.fieldRef.fieldPath]
    const mount = mounts.find(path => text.startsWith(`${path}/`))
    // As Kubernetes does it: by the variables that stand before.
    env[name] = (mount ? text.replace(mount, mounted) : text).replace(
      /\$\((\w+)\)/g,
      (whole, variable: string) => env[variable] ?? whole,
    )
  }
  return loadConfig({ env, makeSecret: false })
}

test('a pod’s variables and file are a configuration without a fault', async t => {
  const config = await podConfiguration(t, 'lens-1')
  t.is(config.node.id, 'lens-1')
  // The name that a headless service gives to a pod of a StatefulSet.
  const { metadata, spec } = theOne('Service', 'lens-nodes')
  t.is(
    config.node.advertiseUrl,
    `http://lens-1.${metadata.name}.${kustomization.namespace}.svc.cluster.local:${spec.ports[0].port}`,
  )
  t.is(spec.ports[0].port, container.ports[0].containerPort)
  t.is(config.node.port, container.ports[0].containerPort)
  t.is(config.store.url, theOne('Secret').stringData['store-url'])
  t.is(config.cluster.secret, theOne('Secret').stringData['cluster-secret'])
  t.is(config.results.directory, undefined, 'a folder would have to be shared by the nodes')
})

/** Beside the waiting for proxies and queries: what may be asked of the engines and answered at the end (`src/node.ts`). */
const lastAnswersMs = 25_000

test('a drain is never cut short, not even while the database is away', async t => {
  const { drain } = await podConfiguration(t, 'lens-0')
  const preStopMs = container.lifecycle.preStop.sleep.seconds * 1000
  const drainMs = Math.max(drain.readinessMs, drain.graceMs + Math.max(drain.graceMs, 10_000)) + lastAnswersMs
  t.true(template.spec.terminationGracePeriodSeconds * 1000 > preStopMs + drainMs)
  t.true(preStopMs > 0)
})

test('readiness is gone from whatever asks for it within the drain', async t => {
  const { drain } = await podConfiguration(t, 'lens-0')
  const { periodSeconds, failureThreshold } = container.readinessProbe
  t.true(drain.readinessMs > periodSeconds * failureThreshold * 1000)
})

test('a pod is as little as the image asks for', t => {
  const image = readFileSync(join(root, 'docker/Dockerfile'), 'utf8')
  const [, user, group] = /^USER (\d+):(\d+)$/m.exec(image) ?? []
  const { securityContext } = template.spec
  t.deepEqual([securityContext.runAsUser, securityContext.runAsGroup], [Number(user), Number(group)])
  t.is(securityContext.fsGroup, Number(group))
  t.true(securityContext.runAsNonRoot && Number(user) > 0)
  t.deepEqual(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  })
  const [, volume] = /^VOLUME (\S+)$/m.exec(image) ?? []
  const mounts = container.volumeMounts.filter(({ readOnly }: any) => !readOnly).map(({ mountPath }: any) => mountPath)
  t.deepEqual(mounts.sort(), ['/tmp', volume].sort())
})

test('the engine leaves the node its share of the memory', async t => {
  const { engines } = await podConfiguration(t, 'lens-0')
  const limit = Number(/^(\d+)Gi$/.exec(container.resources.limits.memory)?.[1]) * 2 ** 30
  for (const { memoryBytesMax } of Object.values(engines)) t.true((memoryBytesMax as number) <= limit - 2 ** 30)
  t.is(container.resources.limits.cpu, undefined, 'a throttled node misses heartbeats')
})

const inside = ['/metrics', '/healthz', '/readyz', '/cluster/v1/']
const ofTheConsole = ['/', '/reach', '/queries/h', '/machines', '/machines/h', '/cluster', '/sessions']

test('probes ask what a node answers, and from outside one reaches all that is for clients and nothing else', async t => {
  const cluster = new TestCluster(null)
  t.teardown(() => cluster.stop())
  const [node] = await cluster.startAll(1)
  for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe])
    t.is((await fetch(`${node?.url}${probe.httpGet.path}`)).status, 200)
  const { annotations } = template.metadata
  t.is(annotations['prometheus.io/port'], String(container.ports[0].containerPort))
  t.regex(await (await fetch(`${node?.url}${annotations['prometheus.io/path']}`)).text(), /^lens_leader /m)

  const rules: { path: string; pathType: string }[] = theOne('Ingress').spec.rules[0].http.paths
  const admitted = (path: string) =>
    rules.some(rule =>
      rule.pathType === 'Exact' ? path === rule.path : path === rule.path || path.startsWith(`${rule.path}/`),
    )
  const { paths } = (await (await fetch(`${node?.url}/openapi.json`)).json()) as { paths: object }
  const served = Object.keys(paths)
  t.true(served.includes('/api/v1/queries/{handle}'))
  for (const path of served) t.is(admitted(path), !inside.some(start => path.startsWith(start)), path)
  for (const path of ofTheConsole) {
    t.not((await fetch(`${node?.url}${path}`)).status, 404, path)
    t.true(admitted(path), path)
  }
  for (const path of ['/cluster/v1/identity', '/cluster/v1/bus', '/metrics', '/healthz']) t.false(admitted(path), path)
  t.true(admitted('/lensapi/session') && admitted('/icon.svg') && admitted('/assets/index.js'))
})
