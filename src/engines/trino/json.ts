/** Trino writes BIGINT as JSON numbers, of which JavaScript's are too short: what does not fit comes as its text. */

const longNumber = /\d{16}/

/** As `JSON.parse`, with whole numbers beyond 2^53 as texts. */
export function parseLossless(text: string): unknown {
  // A function called for every value costs more than the parsing.
  if (!longNumber.test(text)) return JSON.parse(text)
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')
      ? context?.source
      : value,
  )
}
