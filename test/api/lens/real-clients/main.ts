/**
 * `npm run lens:clients`: the published Java client of Apache Lens, unmodified, against a cluster.
 *
 *     npm run lens:clients -- [--write]
 *
 * Fetches it and what it needs (22 MB, kept beside the dependencies) for the oldest Java that is installed, from version 11 on: it is of
 * 2016. `--write`: the answers become docs/evidence/lens-clients.md. Ends with 1 when a test has failed.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { fetchArtifact, installedJavas } from '../../../support/java.ts'
import { recordedRun } from '../../../support/recorded-run.ts'
import { client, jars } from './jars.ts'

const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } })
const folder = fileURLToPath(new URL('../../../../node_modules/.cache/lens-client/', import.meta.url))
const java = (await installedJavas()).find(({ version }) => version >= 11)
if (!java) throw new Error('Java 11 or later is needed (Debian: openjdk-17-jdk-headless)')
const paths = jars.map(coordinate => `${folder}${coordinate.split(':').slice(1).join('-')}.jar`)
process.stdout.write(`the client ${client} on Java ${java.version}\n`)
for (const [index, coordinate] of jars.entries()) await fetchArtifact(coordinate, paths[index] as string)
const passed = await recordedRun({
  config: 'test/api/lens/real-clients/ava.config.js',
  env: { LENS_TEST_JAVA: `${java.home}/bin/java`, LENS_TEST_LENS_JARS: paths.join(':') },
  page: values.write ? 'docs/evidence/lens-clients.md' : null,
  title: 'Apache Lens’s own clients',
  command: 'npm run lens:clients -- --write',
  facts: { client: `\`${client}\`, unmodified`, Java: java.version },
})
if (!passed) process.exitCode = 1
