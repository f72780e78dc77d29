/**
 * Writes the pages that are made from the code: `npm run docs`. A test compares what is committed with what this makes, so that
 * the schema, the catalogue and their pages cannot drift apart.
 */
import { writeFileSync } from 'node:fs'
import { generate as stateMachinesPage } from '../test/support/docs/state-machines.ts'
import { configurationPage, defaultYaml } from './pages/configuration.ts'
import { errorsPage } from './pages/errors.ts'

/** Path from the top of the project → content. */
export function generatedPages(): Readonly<Record<string, string>> {
  return {
    'config/default.yaml': defaultYaml(),
    'docs/configuration.md': configurationPage(),
    'docs/errors.md': errorsPage(),
    'docs/state-machines.md': stateMachinesPage(),
  }
}

if (import.meta.main) {
  for (const [path, content] of Object.entries(generatedPages())) {
    writeFileSync(new URL(`../${path}`, import.meta.url), content)
    process.stdout.write(`${path}\n`)
  }
}
