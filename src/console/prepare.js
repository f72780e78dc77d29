/**
 * Builds the console after an installation. Where what builds it was left out (`npm ci --omit=dev`), it says so and lets the
 * installation succeed: a node without a console still serves everything else. Plain JavaScript, for the Node that npm finds.
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const config = fileURLToPath(new URL('vite.config.ts', import.meta.url))
const vite = await import('vite').catch(() => null)
if (vite && existsSync(config)) await vite.build({ configFile: config, logLevel: 'warn' })
else process.stdout.write('The console is not built: its tools are not installed. Later: npm run build:console\n')
