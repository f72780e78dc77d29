/**
 * What answers of the Lens protocol have to be: XML or JSON that is well-formed, or plain text, and of a failure one of the shapes that
 * its clients know, with a number of Lens's catalogue.
 */
import { SaxesParser } from 'saxes'
import { wireCodes, wireErrorOf } from '../../src/api/lens/refusals.ts'
import { type ErrorCode, errorCatalogue, LensError } from '../../src/domain/index.ts'

/** Numbers that an answer may name. */
const numbers = new Set<number>([
  ...Object.values(wireCodes),
  ...(Object.keys(errorCatalogue) as ErrorCode[]).map(code => wireErrorOf(new LensError(code, '')).code),
])

/** What Lens's clients could not do anything with. */
export function faultsOfLens({ status, type, text }: { status: number; type: string; text: string }): string[] {
  const faults: string[] = []
  let code: number | undefined
  if (/^application\/json/.test(type)) {
    const answer = JSON.parse(text)
    code = answer?.lensAPIResult?.error?.code
    if (status >= 400 && code === undefined) faults.push('a failure without its number')
  } else if (/^application\/xml/.test(type)) {
    const roots: string[] = []
    const parser = new SaxesParser()
    parser.on('error', error => void faults.push(`XML that is not well-formed: ${error.message}`))
    parser.on('opentag', ({ name }) => void roots.push(name))
    parser.write(text).close()
    const written = /<error><code>(\d+)<\/code><message>[^<]/.exec(text)
    if (written) code = Number(written[1])
    if (status >= 400 && !(roots[0] === 'apiResult' || (roots[0] === 'lensAPIResult' && code !== undefined)))
      faults.push(`a failure as ${roots[0]}`)
  } else if (!/^text\/plain/.test(type)) faults.push(`an answer as ${type}`)
  if (code !== undefined && !numbers.has(code)) faults.push(`the number ${code}, which is none of Lens's`)
  // The statement's own failure, which Lens calls one of the server.
  if (status < 200 || (status >= 500 && !(status === 500 && code === 4002))) faults.push('neither a success nor a 4xx')
  return faults
}
