/** PostgreSQL's text of an array as JSON. */

/** `element` writes one value that is not NULL. Text that is no array (it cannot be) becomes a text. */
export function arrayJson(text: string, element: (text: string) => string, delimiter = ','): string {
  // `[0:2]={1,2,3}`: bounds other than the usual ones.
  const start = text.startsWith('[') ? text.indexOf('=') + 1 : 0
  let json = ''
  let depth = 0
  let at = start
  do {
    const character = text[at]
    if (character === undefined || (depth === 0 && character !== '{')) return JSON.stringify(text)
    if (character === '{') {
      json += '['
      depth++
      at++
    } else if (character === '}') {
      json += ']'
      depth--
      at++
    } else if (character === delimiter) {
      json += ','
      at++
    } else if (character === '"') {
      const [value, end] = quoted(text, at + 1)
      json += element(value)
      at = end
    } else {
      const from = at
      while (at < text.length && text[at] !== delimiter && text[at] !== '}') at++
      const value = text.slice(from, at)
      json += value === 'NULL' ? 'null' : element(value)
    }
  } while (depth > 0)
  return json
}

/** A value in quotes without them and its backslashes, and where the text goes on. */
function quoted(text: string, start: number): [value: string, end: number] {
  let value = ''
  let from = start
  let at = start
  while (at < text.length && text[at] !== '"') {
    if (text[at] === '\\') {
      value += text.slice(from, at)
      from = ++at
    }
    at++
  }
  return [value + text.slice(from, at), at + 1]
}
