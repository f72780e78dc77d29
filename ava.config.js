import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

/**
 * A browser gives up its connections when an address of the machine comes or goes, and tests that cut nodes off by networks of their
 * own bring some: browsers come first, and are done when the first of those (of the benchmark) begins.
 */
const place = file =>
  file.replace('/test/browser/', '/test/!browser/').replace('/test/benchmark/', '/test/cluster~benchmark/')

export default {
  // Those of a real Trino and of Lens's own clients need them: npm run engines:trino, npm run lens:clients.
  files: ['test/**/*.test.ts', '!test/engines/trino-real/**', '!test/api/lens/real-clients/**'],
  sortTestFiles: (one, other) => (place(one) < place(other) ? -1 : 1),
  extensions: ['ts'],
  // Tests are processes, not threads: signals, exit codes and DuckDB's native threads need a process of their own.
  workerThreads: false,
  // System tests run several nodes and a database each; more files at once than this starve one another on a small machine.
  concurrency: Math.min(4, Math.max(2, availableParallelism())),
  // Time without any test ending. A hang fails the run, slowness on a busy machine does not.
  timeout: '4m',
  // The nodes and commands that tests start keep what was compiled within the project.
  environmentVariables: { NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/compiled', import.meta.url)) },
  // node:sqlite works but calls itself experimental, in every process.
  nodeArguments: ['--disable-warning=ExperimentalWarning'],
}
