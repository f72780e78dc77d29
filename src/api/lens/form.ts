/**
 * Bodies of `multipart/form-data`. Existing clients send every value as a part with a file name and without a content type,
 * others send fields: the text of a part counts, whatever it calls itself.
 */
import { Busboy } from '@fastify/busboy'
import { LensError } from '../../domain/index.ts'
import { WireRefusal, wireCodes } from './refusals.ts'

export type Form = ReadonlyMap<string, string>

const partsMax = 32

/** Rejects with 1005 where the body is not what its header says, and with TOO_LARGE where it has too many parts. */
export function readForm(contentType: string, bytes: Buffer): Promise<Form> {
  return new Promise((resolve, reject) => {
    const form = new Map<string, string>()
    const unreadable = () => reject(new WireRefusal(wireCodes.parameterMissing, 'The multipart body cannot be read.'))
    try {
      const parser = new Busboy({
        headers: { 'content-type': contentType },
        isPartAFile: () => false,
        limits: { fieldSize: bytes.length + 1, fields: partsMax, parts: partsMax, headerPairs: 16 },
      })
      parser.on('field', (name: string, value: string) => {
        if (!form.has(name)) form.set(name, value)
      })
      parser.on('error', unreadable)
      // Thrown out of the parser, so that nothing of it goes on: a part beyond the limit that has no end would fail there with
      // nobody to hear it, which ends the process.
      for (const limit of ['partsLimit', 'fieldsLimit'] as const)
        parser.on(limit, () => {
          throw new LensError('TOO_LARGE', `The body has more than ${partsMax} parts.`)
        })
      parser.on('finish', () => resolve(form))
      parser.end(bytes)
    } catch (error) {
      if (error instanceof LensError) reject(error)
      else unreadable()
    }
  })
}
