/**
 * One description of an answer, written as XML or as JSON: the two forms that Lens's clients read follow from each other by
 * rule. A list repeats its own name in XML (`<rows><rows>…`; a bare one has no element around it), a map is a list of `entry`, and what has one of several types
 * names it: `xsi:type` in XML, the member `type` in JSON. What is undefined is left out of both; an empty list too, in JSON.
 */

export type Content = undefined | null | string | number | boolean | Typed | Entries | Bare | List | Members
export type List = readonly Content[]
export interface Members {
  readonly [name: string]: Content
}

/** A content that tells its type; of a scalar the JSON is `{"type":…,"value":…}`. */
export class Typed {
  readonly type: string
  readonly content: Content

  constructor(type: string, content: Content) {
    this.type = type
    this.content = content
  }
}

/** A list without an element around its own. */
export class Bare {
  readonly list: List

  constructor(list: List) {
    this.list = list
  }
}

/** A map of texts. */
export class Entries {
  readonly of: Readonly<Record<string, string>>

  constructor(of: Readonly<Record<string, string>>) {
    this.of = of
  }
}

/** A root element, or the list of them that a listing is; `plural` is the name around such a list in XML. */
export type Document =
  | { readonly root: string; readonly content: Members }
  | { readonly root: string; readonly plural: string; readonly list: readonly Members[] }

export type Form = 'xml' | 'json'

export const prolog = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
export const namespaces =
  ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xs="http://www.w3.org/2001/XMLSchema"'
/** The types of XML Schema that values have; the rest are Lens's own. */
const schemaTypes = new Set(['boolean', 'byte', 'short', 'int', 'long', 'float', 'double', 'decimal', 'string'])

export function write(document: Document, form: Form): string {
  if (form === 'json')
    return 'list' in document
      ? JSON.stringify(document.list.map(content => ({ [document.root]: plain(content) })))
      : JSON.stringify({ [document.root]: plain(document.content) })
  const [name, inner] =
    'list' in document
      ? [document.plural, document.list.map(content => element(document.root, content)).join('')]
      : [document.root, inside(document.content)]
  const declared = inner.includes(' xsi:') ? namespaces : ''
  return `${prolog}<${name}${declared}>${inner}</${name}>`
}

/** An element of XML; nothing for what is undefined. */
export function element(name: string, content: Content): string {
  if (content === undefined) return ''
  if (content === null) return `<${name} xsi:nil="true"/>`
  if (content instanceof Typed) {
    const type = schemaTypes.has(content.type) ? `xs:${content.type}` : content.type
    return `<${name} xsi:type="${type}">${inside(content.content)}</${name}>`
  }
  if (content instanceof Bare) return content.list.map(each => element(name, each)).join('')
  if (Array.isArray(content)) return `<${name}>${content.map(each => element(name, each)).join('')}</${name}>`
  return `<${name}>${inside(content)}</${name}>`
}

function inside(content: Content): string {
  if (content === undefined || content === null) return ''
  if (typeof content !== 'object') return escaped(String(content))
  if (content instanceof Typed) return inside(content.content)
  if (content instanceof Bare) return inside(content.list)
  if (content instanceof Entries)
    return Object.entries(content.of)
      .map(([key, value]) => `<entry><key>${escaped(key)}</key><value>${escaped(value)}</value></entry>`)
      .join('')
  if (Array.isArray(content)) return content.map(each => element('item', each)).join('')
  return Object.entries(content)
    .map(([name, each]) => element(name, each))
    .join('')
}

/** What `JSON.stringify` writes as the JSON form. */
export function plain(content: Content): unknown {
  if (content === undefined || content === null || typeof content !== 'object') return content
  if (content instanceof Typed) {
    const { type, content: inner } = content
    if (typeof inner === 'object' && inner !== null) return { type, ...(plain(inner) as object) }
    // Numbers beyond those of JavaScript come as text, and are numbers of JSON all the same.
    const isNumber = (type === 'long' || type === 'decimal') && typeof inner === 'string'
    return { type, value: isNumber && /^-?\d+(\.\d+)?$/.test(inner) ? rawJson(inner) : inner }
  }
  if (content instanceof Entries) return { entry: Object.entries(content.of).map(([key, value]) => ({ key, value })) }
  if (content instanceof Bare) return content.list.map(plain)
  if (Array.isArray(content)) return content.map(plain)
  return Object.fromEntries(
    Object.entries(content)
      .filter(([, each]) => each !== undefined && !isEmpty(each))
      .map(([name, each]) => [name, plain(each)]),
  )
}

function isEmpty(content: Content): boolean {
  const list = content instanceof Bare ? content.list : content
  return Array.isArray(list) && list.length === 0
}

/** Not yet in TypeScript's own description of JavaScript. */
const { rawJSON: rawJson } = JSON as unknown as { rawJSON(text: string): unknown }

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
}

/** Text of XML 1.0, which has no way to say most control characters: they become U+FFFD. */
export function escaped(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[^\t\n\r\x20-\ufffd]/g, '\ufffd')
    .replaceAll(/[&<>"\r]/g, character => escapes[character] as string)
}
