/**
 * `npm run engines:trino`: the Trino engine against Trino itself.
 *
 *     npm run engines:trino -- [--write]        TRINO_SERVER_ARCHIVE=path
 *
 * Fetches the server (about 800 MB, kept beside the dependencies) for the newest Java that is installed, starts it on free ports, runs the
 * driver's conformance suite, types, sessions and sign-in, and kills the owners of its queries. `--write`: the answers become
 * docs/evidence/trino.md. Ends with 1 when a test has failed.
 */
import { parseArgs } from 'node:util'
import { recordedRun } from '../../support/recorded-run.ts'
import { installTrino } from './install.ts'
import { startInstalled } from './start.ts'

const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } })
const say = (text: string) => process.stdout.write(`${text}\n`)
const over: (() => unknown)[] = []

try {
  const installed = await installTrino(process.env.TRINO_SERVER_ARCHIVE, say)
  say(`starting Trino ${installed.version} on Java ${installed.java}`)
  const { url, secureUrl } = await startInstalled({ teardown: task => over.unshift(task) }, installed)
  const passed = await recordedRun({
    config: 'test/engines/trino-real/ava.config.js',
    env: { LENS_TEST_TRINO_URL: url, LENS_TEST_TRINO_SECURE_URL: secureUrl },
    page: values.write ? 'docs/evidence/trino.md' : null,
    title: 'The Trino engine against Trino',
    command: 'npm run engines:trino -- --write',
    facts: {
      Trino: `${installed.version}, one coordinator that is its own worker; connectors memory and tpch`,
      Java: installed.java,
    },
  })
  if (!passed) process.exitCode = 1
} finally {
  for (const task of over) await task()
}
