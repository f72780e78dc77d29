/** Content negotiation: which of the types on offer the client likes best (RFC 9110, 12.5.1). */

interface Range {
  readonly type: string
  readonly subtype: string
  readonly quality: number
}

/** The first of the best; undefined when none is acceptable. No header accepts everything. */
export function chooseMediaType(accept: string | undefined, offered: readonly string[]): string | undefined {
  if (accept === undefined || accept.trim() === '') return offered[0]
  const ranges = accept.split(',').slice(0, 64).map(readRange)
  let best: string | undefined
  let bestQuality = 0
  for (const mediaType of offered) {
    const quality = qualityOf(mediaType, ranges)
    if (quality > bestQuality) {
      best = mediaType
      bestQuality = quality
    }
  }
  return best
}

function readRange(text: string): Range {
  const [range = '', ...parameters] = text
    .toLowerCase()
    .split(';')
    .map(part => part.trim())
  const [type = '', subtype = ''] = range.split('/')
  const weight = parameters.find(parameter => parameter.startsWith('q='))?.slice(2)
  const quality = weight === undefined ? 1 : Number(weight)
  return { type, subtype, quality: quality >= 0 && quality <= 1 ? quality : 0 }
}

// The most specific range decides, wherever it stands.
function qualityOf(mediaType: string, ranges: readonly Range[]): number {
  const [type, subtype] = mediaType.split('/')
  let specificity = -1
  let quality = 0
  for (const range of ranges) {
    const matches =
      range.type === type && range.subtype === subtype
        ? 2
        : range.type === type && range.subtype === '*'
          ? 1
          : range.type === '*' && range.subtype === '*'
            ? 0
            : -1
    if (matches > specificity) {
      specificity = matches
      quality = range.quality
    }
  }
  return quality
}
