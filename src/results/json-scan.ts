/** Walks over JSON text without parsing it: where a value ends. For rows that engines encoded, thus known to be well-formed. */

const quote = 34
const backslash = 92
const comma = 44
const openArray = 91
const closeArray = 93
const openObject = 123
const closeObject = 125

/** `start` is the opening quote; gives the position behind the closing one. */
export function endOfString(text: Uint8Array, start: number): number {
  let position = start + 1
  for (;;) {
    const byte = text[position] as number
    if (byte === quote) return position + 1
    position += byte === backslash ? 2 : 1
  }
}

/** `start` is the first byte of any value; gives the position behind it. */
export function endOfValue(text: Uint8Array, start: number): number {
  const first = text[start]
  if (first === quote) return endOfString(text, start)
  if (first !== openArray && first !== openObject) return endOfScalar(text, start)
  let depth = 0
  let position = start
  for (;;) {
    const byte = text[position]
    if (byte === quote) {
      position = endOfString(text, position)
      continue
    }
    position++
    if (byte === openArray || byte === openObject) depth++
    else if ((byte === closeArray || byte === closeObject) && --depth === 0) return position
  }
}

function endOfScalar(text: Uint8Array, start: number): number {
  let position = start
  for (;;) {
    const byte = text[position]
    if (byte === comma || byte === closeArray || byte === closeObject) return position
    position++
  }
}
