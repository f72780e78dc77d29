/** How a command ended, in a form that scripts can use; and the sentences that go with a failure. */
import { LensClientError } from '../client/index.ts'
import { ConfigError } from '../config/index.ts'
import type { Terminal } from './terminal.ts'

export const exitCodes = {
  success: 0,
  /** The query, or the call, failed. */
  failed: 1,
  /** The command line, or the configuration, is wrong. */
  usage: 2,
  /** No server answered. */
  unreachable: 3,
  /** Ended by Ctrl-C: 128 + SIGINT, as shells have it. */
  interrupted: 130,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** The command line is wrong in a way that its parser cannot see. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Says what went wrong and gives the exit code. */
export function reportFailure(terminal: Terminal, error: unknown): ExitCode {
  if (error instanceof UsageError || error instanceof ConfigError) {
    terminal.err(`${error.message}\n`)
    return exitCodes.usage
  }
  if (error instanceof LensClientError) {
    terminal.err(`${sentenceOf(error)}\n`)
    return isUnreachable(error) ? exitCodes.unreachable : exitCodes.failed
  }
  // What carries a code is a circumstance (a port in use, a store that is away); anything else is a defect of ours.
  const code = error instanceof Error && 'code' in error ? error.code : null
  terminal.err(`${error instanceof Error ? (code === null ? error.stack : error.message) : String(error)}\n`)
  return code === 'STORE_UNAVAILABLE' ? exitCodes.unreachable : exitCodes.failed
}

export function sentenceOf(error: LensClientError): string {
  if (error.code === 'UNREACHABLE') {
    return `No server reachable: ${error.detail}\nName one with --server URL or LENS_SERVER, or start one: npx lens up --nodes 3`
  }
  const hint = hints[error.code]
  return `${error.code}: ${error.detail}${hint ? `\n${hint}` : ''}`
}

const hints: Readonly<Record<string, string>> = {
  FORBIDDEN: 'Only admins may; name one with --user (by default the user "admin" is one).',
  SESSION_INVALID: 'The token is of no session that is open: leave out --token and LENS_TOKEN to open one.',
}

function isUnreachable(error: LensClientError): boolean {
  return error.code === 'UNREACHABLE' || error.code === 'NODE_STOPPING' || error.code === 'STORE_UNAVAILABLE'
}
