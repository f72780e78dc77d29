import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

export default {
  files: ['test/**/*.test.ts'],
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
