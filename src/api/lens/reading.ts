/** What clients send inside their parameters: the handle of a session and a configuration, as XML or JSON text. */
import { SaxesParser } from 'saxes'
import { propertiesMax } from '../bounds.ts'
import { WireRefusal, wireCodes } from './refusals.ts'

/** A token of the gateway, from the text of a `lensSessionHandle`. Throws 2001 where it is none. */
export function tokenOf(text: string | undefined): string {
  const missing = () =>
    new WireRefusal(wireCodes.sessionMissing, 'Session id not provided. Please provide a session id.')
  if (text === undefined || text.trim() === '') throw missing()
  const found: Record<string, unknown> = {}
  if (text.trimStart().startsWith('{')) {
    const { lensSessionHandle: handle } = (parsedJson(text) ?? {}) as { lensSessionHandle?: Record<string, unknown> }
    Object.assign(found, handle)
  } else
    try {
      readXml(text, (path, content) => {
        if (path.length === 2 && path[0] === 'lensSessionHandle') found[path[1] as string] = content.trim()
      })
    } catch {
      throw missing()
    }
  const { publicId, secretId } = found
  if (!isUuid(publicId) || !isUuid(secretId)) throw missing()
  return `${publicId.toLowerCase()}.${secretId.toLowerCase()}`
}

export function handleText(token: string): { publicId: string; secretId: string } {
  const [publicId = '', secretId = ''] = token.split('.')
  return { publicId, secretId }
}

/** The properties of a `conf`. Throws 1002 where it is not well-formed, 1006 where it says what no property can be. */
export function propertiesOf(text: string | undefined): Record<string, string> {
  if (text === undefined || text.trim() === '') return {}
  const pairs: [unknown, unknown][] = text.trimStart().startsWith('{') ? jsonPairs(text) : xmlPairs(text)
  if (pairs.length > propertiesMax)
    throw new WireRefusal(wireCodes.parameterInvalid, `conf: expected at the most ${propertiesMax} properties`)
  const properties: Record<string, string> = {}
  for (const [name, value] of pairs) {
    if (typeof name !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(name) || name === '__proto__')
      throw new WireRefusal(wireCodes.parameterInvalid, 'conf: expected names of printable ASCII without spaces')
    const written = String(value ?? '')
    if (written.includes('\0')) throw new WireRefusal(wireCodes.parameterInvalid, 'conf: expected values without NUL')
    properties[name] = written
  }
  return properties
}

function xmlPairs(text: string): [unknown, unknown][] {
  const pairs: [unknown, unknown][] = []
  let entry: { key?: string; value?: string } = {}
  try {
    readXml(text, (path, content) => {
      if (path[0] !== 'conf') throw new Error('expected a conf')
      if (path.join('/') === 'conf/properties/entry/key') entry.key = content
      else if (path.join('/') === 'conf/properties/entry/value') entry.value = content
      else if (path.join('/') === 'conf/properties/entry') {
        pairs.push([entry.key, entry.value])
        entry = {}
      }
    })
  } catch {
    throw new WireRefusal(wireCodes.xmlInvalid, 'conf: expected well-formed XML with the root element conf')
  }
  return pairs
}

function jsonPairs(text: string): [unknown, unknown][] {
  const { conf } = (parsedJson(text) ?? {}) as { conf?: { properties?: { entry?: unknown } } }
  if (typeof conf !== 'object' || conf === null)
    throw new WireRefusal(wireCodes.parameterInvalid, 'conf: expected a JSON object with the member conf')
  return [conf.properties?.entry ?? []].flat().map(entry => {
    const { key, value } = (entry ?? {}) as { key?: unknown; value?: unknown }
    return [key, value]
  })
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Tells of every element that ends, with its path from the root and its own text. Throws where the XML is not well-formed. */
function readXml(text: string, ended: (path: readonly string[], content: string) => void): void {
  const parser = new SaxesParser()
  const path: string[] = []
  const texts: string[] = []
  let sawRoot = false
  // Nobody who sends a handle needs a document type, whose entities are how XML is abused.
  parser.on('doctype', () => {
    throw new Error('a document type')
  })
  parser.on('error', error => {
    throw error
  })
  parser.on('opentag', ({ name }) => {
    sawRoot = true
    path.push(name)
    texts.push('')
  })
  const append = (more: string) => {
    if (texts.length > 0) texts[texts.length - 1] += more
  }
  parser.on('text', append)
  parser.on('cdata', append)
  parser.on('closetag', () => {
    ended(path, texts.pop() ?? '')
    path.pop()
  })
  parser.write(text.trim()).close()
  if (!sawRoot) throw new Error('no element')
}

export function isUuid(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)
}

/** A handle in lower case. Throws 2006. */
export function handleOf(text: string): string {
  if (!isUuid(text)) throw new WireRefusal(wireCodes.handleInvalid, `Invalid handle: ${text}`)
  return text.toLowerCase()
}
