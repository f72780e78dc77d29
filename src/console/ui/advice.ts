/** What people can do when something went wrong, where its own words do not say. */

interface Fault {
  readonly code: string
  readonly retryAfterMs?: number | null
  readonly requestId?: string | null
}

const advices: Readonly<Record<string, string>> = {
  UNREACHABLE: 'No node answers. What was submitted runs on without this page: look at the network, then try again.',
  NOT_LENS: 'Something between this page and the nodes answered in their place. Who operates it can tell.',
  STORE_UNAVAILABLE: 'The nodes wait for their database, and nothing that was accepted is lost. Try again in a moment.',
  NODE_STOPPING: 'That node leaves the cluster. Another one answers when you try again.',
  ENGINE_UNAVAILABLE: 'Try again later, or choose another engine.',
  ISSUER_UNAVAILABLE: 'Whether your token is right cannot be told just now. Try again in a moment.',
  QUEUE_FULL: 'Wait until one of your queries has ended, or cancel one: the history has them.',
  SESSION_LIMIT: 'Sign out where you no longer need it, or ask an admin to close sessions of yours.',
  UNAUTHENTICATED: 'Look at what you signed in with: the name and the password, or whether the token is still good.',
  FORBIDDEN: 'Only admins may do this: sign in as one, or ask one.',
  RESULT_EXPIRED: 'Run the statement again to have its rows.',
  RESULT_TOO_LARGE: 'Ask for fewer rows or columns.',
  NODE_LOST: 'Run the statement again.',
  EXECUTION_UNKNOWN: 'Look at the data first: run the statement again only if it was not executed.',
  DEADLINE_EXCEEDED: 'Ask for less, or give it more time.',
}

/** null where the error says itself what is to be done, as those of a statement do. */
export function adviceFor({ code, retryAfterMs = null, requestId = null }: Fault): string | null {
  if (code === 'RATE_LIMITED')
    return `Wait ${retryAfterMs ? `${Math.ceil(retryAfterMs / 1000)} s` : 'a moment'}, then try again.`
  if (code === 'INTERNAL')
    return requestId ? `Who operates the nodes finds the cause under request ${requestId}.` : null
  return advices[code] ?? null
}
