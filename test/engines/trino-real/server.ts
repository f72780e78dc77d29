/** The Trino that `npm run engines:trino` has started, as its tests see it. */
import { createHmac } from 'node:crypto'

/** Who may sign in over HTTPS. */
export const person = { name: 'ada', password: 'se:cret/1' } as const
export const signingKey = 'a key of the tests that signs tokens and nothing else in the world'

export interface RealTrino {
  /** Without catalog and schema; everybody is let in. */
  readonly url: string
  /** Who signs in is let in; its certificate is of nobody whom this machine knows. */
  readonly secureUrl: string
  /** As somebody else sees it: the rows of a statement that is run to its end. */
  sql(text: string): Promise<unknown[][]>
  /** The queries with just this text: their ids and states. */
  queries(text: string): Promise<{ readonly id: string; readonly state: string }[]>
}

interface Results {
  readonly nextUri?: string
  readonly data?: unknown[][]
  readonly error?: { readonly message: string }
}

export function realTrino(): RealTrino {
  const { LENS_TEST_TRINO_URL: url, LENS_TEST_TRINO_SECURE_URL: secureUrl } = process.env
  if (!url || !secureUrl)
    throw new Error('LENS_TEST_TRINO_URL is not set: npm run engines:trino starts a Trino and sets it')
  const sql = async (text: string) => {
    const headers = { 'x-trino-user': 'tests', 'x-trino-catalog': 'memory', 'x-trino-schema': 'default' }
    const rows: unknown[][] = []
    let answer = await fetch(`${url}/v1/statement`, { method: 'POST', body: text, headers })
    for (;;) {
      if (answer.status !== 200) throw new Error(`HTTP ${answer.status}: ${await answer.text()}`)
      const { nextUri, data = [], error } = (await answer.json()) as Results
      if (error) throw new Error(error.message)
      rows.push(...data)
      if (nextUri === undefined) return rows
      answer = await fetch(nextUri, { headers })
    }
  }
  return {
    url,
    secureUrl,
    sql,
    async queries(text) {
      const rows = await sql(
        `SELECT query_id, state FROM system.runtime.queries WHERE query = '${text.replaceAll("'", "''")}'`,
      )
      return rows.map(([id, state]) => ({ id: String(id), state: String(state) }))
    },
  }
}

/** Signed by `key`, for who is named. */
export function tokenOf(name: string, key: string = signingKey): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: name, exp: Math.floor(Date.now() / 1_000) + 3_600 })}`
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`
}
