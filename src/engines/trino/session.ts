/**
 * A session of ours as the headers of Trino's, which keeps nothing of it between statements; and what a statement's answers say that the
 * session shall be from then on.
 *
 * | session | header |
 * |---|---|
 * | `database`: `catalog` or `catalog.schema` | `X-Trino-Catalog`, `X-Trino-Schema` |
 * | property `trino.path`, `trino.timeZone`, `trino.clientTags` | `X-Trino-Path`, `X-Trino-Time-Zone`, `X-Trino-Client-Tags` |
 * | property `trino.role.CATALOG` | `X-Trino-Role` |
 * | property `trino.prepared.NAME` | `X-Trino-Prepared-Statement` |
 * | any other property but those of Lens HA (`lens.…`) | `X-Trino-Session` |
 */
import type { SessionChange, StatementRequest } from '../contract.ts'

type Answered = Readonly<Record<string, string | string[] | undefined>>

const named: Readonly<Record<string, string>> = {
  'trino.path': 'x-trino-path',
  'trino.timeZone': 'x-trino-time-zone',
  'trino.clientTags': 'x-trino-client-tags',
}
const rolePrefix = 'trino.role.'
const preparedPrefix = 'trino.prepared.'

export function sessionHeaders(
  { database, properties }: Pick<StatementRequest, 'database' | 'properties'>,
  preset: { readonly catalog: string | null; readonly schema: string | null },
): Record<string, string> {
  const headers: Record<string, string> = {}
  const [catalog, ...rest] = database === null ? [preset.catalog] : database.split('.')
  const schema = database === null ? preset.schema : rest.join('.')
  if (catalog) headers['x-trino-catalog'] = latin(catalog)
  if (schema) headers['x-trino-schema'] = latin(schema)
  const lists: Record<string, string[]> = {}
  const add = (header: string, name: string, value: string) => {
    lists[header] ??= []
    lists[header].push(`${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
  }
  for (const [name, value] of Object.entries(properties)) {
    const header = named[name]
    if (header) headers[header] = latin(value)
    else if (name.startsWith(rolePrefix)) add('x-trino-role', name.slice(rolePrefix.length), value)
    else if (name.startsWith(preparedPrefix))
      add('x-trino-prepared-statement', name.slice(preparedPrefix.length), value)
    else if (!name.startsWith('lens.') && !name.startsWith('trino.')) add('x-trino-session', name, value)
  }
  for (const [header, items] of Object.entries(lists)) headers[header] = items.join(',')
  return headers
}

/** Headers carry no other characters; a name that has some is none of Trino's. */
function latin(text: string): string {
  return text.replace(/[^\u0020-\u007e]/g, '?')
}

/** Gathers what the answers to one statement say; each of them says all again. */
export class SessionChanges {
  readonly #before: Pick<StatementRequest, 'database'>
  readonly #preset: { readonly catalog: string | null; readonly schema: string | null }
  #catalog: string | undefined
  #schema: string | undefined
  readonly #properties = new Map<string, string | null>()

  constructor(
    before: Pick<StatementRequest, 'database'>,
    preset: { readonly catalog: string | null; readonly schema: string | null },
  ) {
    this.#before = before
    this.#preset = preset
  }

  note(answered: Answered): void {
    const all = (name: string) => [answered[`x-trino-${name}`] ?? []].flat().flatMap(text => text.split(','))
    this.#catalog = all('set-catalog').at(-1)?.trim() ?? this.#catalog
    this.#schema = all('set-schema').at(-1)?.trim() ?? this.#schema
    const keep = (header: string, prefix: string) => {
      for (const item of all(header)) {
        const split = item.indexOf('=')
        if (split > 0) this.#properties.set(prefix + decoded(item.slice(0, split)), decoded(item.slice(split + 1)))
      }
    }
    keep('set-session', '')
    keep('set-role', rolePrefix)
    keep('added-prepare', preparedPrefix)
    for (const name of all('clear-session')) this.#properties.set(decoded(name), null)
    for (const name of all('deallocated-prepare')) this.#properties.set(preparedPrefix + decoded(name), null)
    const path = all('set-path').join(',')
    if (path !== '') this.#properties.set('trino.path', path)
  }

  /** null: the session stays as it was. */
  get change(): SessionChange | null {
    const properties = Object.fromEntries(this.#properties)
    const database = this.#database()
    if (database === undefined) return this.#properties.size === 0 ? null : { properties }
    return { properties, database }
  }

  #database(): string | undefined {
    if (this.#catalog === undefined && this.#schema === undefined) return undefined
    const before = this.#before.database?.split('.')[0] ?? this.#preset.catalog
    const catalog = this.#catalog ?? before
    if (!catalog) return undefined
    return this.#schema === undefined ? catalog : `${catalog}.${this.#schema}`
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.trim().replaceAll('+', ' '))
  } catch {
    return text.trim()
  }
}
