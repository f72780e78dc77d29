/** Speaks Lens's wire protocol to a node as its two existing clients do: the bytes of their requests, not a library's idea of them. */
import { request } from 'node:http'
import type { NodeProcess } from './nodes.ts'

export interface LensAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** Parsed, when the answer is JSON. */
  readonly json: any
}

export type Parts = Readonly<Record<string, string>>
/** `python`: parts are files without a type; `java`: fields, and XML as files of a type. `field`: as forms of browsers. */
export type PartForm = 'python' | 'java' | 'field'

export const boundary = '92f0dfca2d6d9f1ef2a27b0ea9f7ac1a'

export function multipart(parts: Parts, form: PartForm): string {
  const written = Object.entries(parts).map(([name, value]) => {
    const isXml = form === 'java' && value.startsWith('<')
    const file = form === 'python' || (isXml && name !== 'sessionid') ? `; filename="${name}"` : ''
    const type = form === 'java' ? `Content-Type: ${isXml ? 'application/xml' : 'text/plain'}\r\n` : ''
    return `--${boundary}\r\n${type}Content-Disposition: form-data; name="${name}"${file}\r\n\r\n${value}\r\n`
  })
  return `${written.join('')}--${boundary}--\r\n`
}

export interface LensRequest {
  readonly query?: Parts
  readonly parts?: Parts
  readonly form?: PartForm
  readonly accept?: string
}

export function lens(
  node: Pick<NodeProcess, 'port'>,
  method: string,
  target: string,
  { query, parts, form = 'python', accept }: LensRequest = {},
): Promise<LensAnswer> {
  const search = query ? `?${new URLSearchParams(query)}` : ''
  const body = parts ? multipart(parts, form) : undefined
  return new Promise((resolve, reject) => {
    const outgoing = request({
      ...{ host: '127.0.0.1', port: node.port, method, path: `/lensapi${target}${search}`, agent: false },
      headers: {
        ...(accept ? { accept } : {}),
        ...(body === undefined
          ? {}
          : { 'content-type': `multipart/form-data; boundary=${boundary}`, 'content-length': Buffer.byteLength(body) }),
      },
    })
    outgoing.once('error', reject)
    outgoing.once('response', response => {
      const chunks: Buffer[] = []
      response.on('data', chunk => chunks.push(chunk))
      response.once('error', reject)
      response.once('end', () => {
        const text = Buffer.concat(chunks).toString()
        const isJson = response.headers['content-type']?.startsWith('application/json') === true
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          json: isJson ? JSON.parse(text) : undefined,
        })
      })
    })
    outgoing.end(body)
  })
}

export const json = 'application/json'
export const emptyConf = '<conf></conf>'

export function conf(properties: Parts): string {
  const entries = Object.entries(properties).map(
    ([key, value]) => `<entry><key>${key}</key><value>${value}</value></entry>`,
  )
  return `<?xml version="1.0" encoding="UTF-8"?><conf><properties>${entries.join('')}</properties></conf>`
}

/** Opens a session as the Python client does, and gives the handle as it keeps it: the text of the answer. */
export async function openLens(
  node: Pick<NodeProcess, 'port'>,
  username = 'ann',
  sessionconf = emptyConf,
): Promise<string> {
  const parts = { username, password: '', sessionconf, database: 'default' }
  const { status, text } = await lens(node, 'POST', '/session/', { parts, accept: 'application/xml' })
  if (status !== 200) throw new Error(`no session: ${status} ${text}`)
  return text
}

/** Submits, and gives the handle. */
export async function submitLens(
  node: Pick<NodeProcess, 'port'>,
  sessionid: string,
  query: string,
  properties = emptyConf,
): Promise<string> {
  const parts = { sessionid, query, operation: 'execute', conf: properties }
  const { json: answer, text } = await lens(node, 'POST', '/queryapi/queries/', { parts, accept: json })
  const handle = answer?.lensAPIResult?.data?.handleId
  if (!handle) throw new Error(`not accepted: ${text}`)
  return handle
}

export async function lensQueryOf(node: Pick<NodeProcess, 'port'>, sessionid: string, handle: string): Promise<any> {
  const {
    status,
    json: answer,
    text,
  } = await lens(node, 'GET', `/queryapi/queries/${handle}`, {
    query: { sessionid },
    accept: json,
  })
  if (status !== 200) throw new Error(`no query: ${status} ${text}`)
  return answer.lensQuery
}
