/** `docs/errors.md`, from the catalogue. */
import { type CatalogueEntry, errorCatalogue } from '../../src/domain/errors.ts'

export function errorsPage(): string {
  const entries = Object.entries(errorCatalogue) as [string, CatalogueEntry][]
  const answered = entries.filter(([, entry]) => entry.status !== null)
  const inQuery = entries.filter(([, entry]) => entry.status === null)
  const yes = (entry: CatalogueEntry) => (entry.retryable ? 'yes' : 'no')
  return `# Errors

<!-- Made from src/domain/errors.ts by \`npm run docs\`; a test compares. -->

## Answered to a request

The body is \`application/problem+json\` (RFC 9457): \`type\`, \`title\`, \`status\`, \`code\`, \`detail\`, \`retryable\`, \`node\`, \`requestId\`, and the \`handle\` where
an accepted query is meant. Programs go by \`code\` and \`retryable\`; \`detail\` is for people. \`retryable\` in an answer counts, the column shows what is usual: a
503 of a submission is retryable only where a repetition cannot execute twice, that is with an \`Idempotency-Key\`, for a statement that is safe
to repeat, or before it was launched. Retryable answers carry \`Retry-After\`.

| code | status | retryable | title | when |
|---|---|---|---|---|
${answered.map(([code, entry]) => `| \`${code}\` | ${entry.status} | ${yes(entry)} | ${entry.title} | ${entry.when} |`).join('\n')}

## In a failed query's \`error\`

The query was accepted and ended FAILED: the answer is a query with status 200, and its \`error\` holds \`code\` and \`message\`. Codes of the table above
stand there too (\`SQL_INVALID\`, \`ENGINE_UNAVAILABLE\`). Retryable means here that submitting the query again may succeed and executes nothing twice.

| code | retryable | title | when |
|---|---|---|---|
${inQuery.map(([code, entry]) => `| \`${code}\` | ${yes(entry)} | ${entry.title} | ${entry.when} |`).join('\n')}
`
}
