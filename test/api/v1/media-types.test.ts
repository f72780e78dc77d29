/** Content negotiation, by the cases of RFC 9110. */
import test from 'ava'
import { chooseMediaType } from '../../../src/api/v1/media-types.ts'

const offered = ['application/json', 'application/x-ndjson', 'text/csv']
const cases: readonly (readonly [string | undefined, string | undefined])[] = [
  [undefined, 'application/json'],
  ['', 'application/json'],
  ['*/*', 'application/json'],
  ['text/csv', 'text/csv'],
  ['TEXT/CSV; charset=utf-8', 'text/csv'],
  ['text/*', 'text/csv'],
  ['application/*', 'application/json'],
  ['application/json;q=0.5, text/csv', 'text/csv'],
  ['text/csv;q=0.5, application/x-ndjson;q=0.6, */*;q=0.1', 'application/x-ndjson'],
  ['application/json;q=0, */*', 'application/x-ndjson'],
  ['text/html, */*;q=0.8', 'application/json'],
  ['image/png', undefined],
  ['application/json;q=0', undefined],
  ['application/json;q=7', undefined],
  ['nonsense', undefined],
]

for (const [accept, expected] of cases)
  test(`Accept: ${accept} gives ${expected}`, t => t.is(chooseMediaType(accept, offered), expected))
