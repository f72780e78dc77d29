/**
 * No secret reaches a log: values under telling names are replaced at any depth, and whatever has the form of a secret (credentials
 * inside URLs and headers, tokens of sessions and of identity providers, private keys) is blanked wherever it stands, messages and
 * stacks included. Statements are not logged at all, neither clients' nor our own with their values.
 */

const censor = '[redacted]'
const secretName =
  /^(authorization|cookie|set-cookie|jwt)$|token|secret|passw(or)?d|passphrase|credential|private-?key/i
/** What database drivers hang on their errors: the statement, its values, and rows that they quote. */
const statementName = /^(sql|sqlMessage|query|internalQuery|parameters|params|values|bindings|detail|where)$/
const depthMax = 8

const forms: readonly (readonly [RegExp, string])[] = [
  // `name:password@` of a URL; a password may contain what it should not.
  [/\b([a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s/]*@/gi, `$1:${censor}@`],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]+/gi, `$1 ${censor}`],
  // JSON web tokens, wherever they stand.
  [/\beyJ[\w-]{8,8192}\.[\w-]+\.[\w-]*/g, censor],
  // The token of a session: its public id, and what makes it secret.
  [/\b([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})\.[\w-]{8,}/gi, `$1.${censor}`],
  [/<secretId>[^<]*<\/secretId>/gi, `<secretId>${censor}</secretId>`],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, censor],
  // `token=…`, `"password": "…"`, as in query strings, forms and JSON.
  [
    /(["']?\b[\w-]{0,64}(?:token|secret|secretId|password|passwd|passphrase|sessionid)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;&"'}\])]+)/gi,
    `$1${censor}`,
  ],
]

/** Text without what has the form of a secret. */
export function maskText(text: string): string {
  let masked = text
  for (const [form, instead] of forms) masked = masked.replace(form, instead)
  return masked
}

/** A copy that may be logged. Errors are left to the error serializer; what is nested too deeply is cut. */
export function redacted(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return maskText(value)
  if (typeof value !== 'object' || value === null || value instanceof Error || value instanceof Date) return value
  if (depth >= depthMax) return '[too deep]'
  if (Array.isArray(value)) return value.map(item => redacted(item, depth + 1))
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  const copy: Record<string, unknown> = {}
  for (const [name, item] of Object.entries(value)) {
    copy[name] = secretName.test(name) && item !== null && item !== undefined ? censor : redacted(item, depth + 1)
  }
  return copy
}

/** An error's fields without the statement that it is about, which may hold anything. */
export function withoutStatements(error: object): object {
  return Object.fromEntries(Object.entries(error).filter(([name]) => !statementName.test(name)))
}
