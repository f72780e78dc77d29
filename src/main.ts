/** The process entry: arguments to command, outcome to exit code. */
import { processTerminal, runCommandLine } from './cli/index.ts'

// Ends the process even where something still holds it (a keep-alive connection, a timer): the command has ended.
process.exit(await runCommandLine(process.argv.slice(2), processTerminal()))
