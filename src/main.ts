/** The process entry: arguments to command, outcome to exit code. */
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// What was compiled once is kept for the next start, which halves what a command costs. Where nothing can be written it is
// compiled again. Only what is loaded from here on is kept, hence the import below. `NODE_COMPILE_CACHE` comes first.
enableCompileCache(join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'lens-ha'))

const { processTerminal, runCommandLine } = await import('./cli/index.ts')

// Ends the process even where something still holds it (a keep-alive connection, a timer): the command has ended.
process.exit(await runCommandLine(process.argv.slice(2), processTerminal()))
