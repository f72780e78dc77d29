/**
 * A whole result as one stream of bytes. JSON lines are resumed where they broke, on whichever node answers: only
 * complete lines are passed on, so that counting them gives the offset. Other formats cannot be cut at a row.
 */
import { LensClientError } from './errors.ts'

export type DownloadFormat = 'ndjson' | 'csv' | 'arrow'

export const mediaTypes: Readonly<Record<DownloadFormat, string>> = {
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
  arrow: 'application/vnd.apache.arrow.stream',
}

/** A body as it arrives; `read` rejects when it breaks, or says nothing for too long. */
export interface Chunks {
  read(): Promise<ReadableStreamReadResult<Uint8Array<ArrayBuffer>>>
  cancel(): Promise<void>
}

/** Bodies that may break in a row without a line in between. */
const fruitlessMax = 20

/** Opens the body from a row on; fails over by itself until an answer has begun. */
export type BodyOpener = (offset: number) => Promise<Chunks>

export function downloadOf(
  format: DownloadFormat,
  open: BodyOpener,
  offset: number,
  pause: (attempt: number) => Promise<void>,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const source = format === 'ndjson' ? resumedLines(open, offset, pause) : plainBytes(open, offset, format)
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await source.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    async cancel() {
      await source.return(undefined)
    },
  })
}

async function* plainBytes(open: BodyOpener, offset: number, format: DownloadFormat) {
  const chunks = await open(offset)
  try {
    for (;;) {
      const { done, value } = await chunks.read().catch(cause => {
        throw new LensClientError({
          code: 'DOWNLOAD_INTERRUPTED',
          detail: `The connection broke, and ${format} cannot be resumed: begin again, or use ndjson.`,
          retryable: true,
          cause,
        })
      })
      if (done) return
      yield value
    }
  } finally {
    abandon(chunks)
  }
}

async function* resumedLines(open: BodyOpener, offset: number, pause: (attempt: number) => Promise<void>) {
  let rows = offset
  for (let fruitless = 0; ; fruitless++) {
    const chunks = await open(rows)
    const lines = new LineCutter()
    try {
      for (;;) {
        const { done, value } = await chunks.read()
        const whole = done ? lines.rest() : lines.cut(value)
        if (whole) {
          yield whole.bytes
          rows += whole.lines
          fruitless = 0
        }
        if (done) return
      }
    } catch (cause) {
      if (fruitless >= fruitlessMax) {
        const detail = `The connection broke ${fruitless + 1} times at row ${rows} without another one arriving.`
        throw new LensClientError({ code: 'DOWNLOAD_INTERRUPTED', detail, cause })
      }
      // Broken off in the middle: what was passed on ends with a whole line.
      await pause(fruitless)
    } finally {
      abandon(chunks)
    }
  }
}

/** Ends the transfer when the reader has left; no failure of that is of interest. */
function abandon(chunks: Chunks): void {
  chunks.cancel().catch(() => {})
}

interface WholeLines {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly lines: number
}

/** Holds back the bytes after the last line end. */
class LineCutter {
  #held: Uint8Array<ArrayBuffer>[] = []

  cut(chunk: Uint8Array<ArrayBuffer>): WholeLines | null {
    const end = chunk.lastIndexOf(0x0a) + 1
    if (end === 0) {
      this.#held.push(chunk)
      return null
    }
    const bytes = joined([...this.#held, chunk.subarray(0, end)])
    this.#held = end < chunk.length ? [chunk.subarray(end)] : []
    let lines = 0
    for (let at = bytes.indexOf(0x0a); at !== -1; at = bytes.indexOf(0x0a, at + 1)) lines++
    return { bytes, lines }
  }

  rest(): WholeLines | null {
    const bytes = joined(this.#held)
    return bytes.length > 0 ? { bytes, lines: 1 } : null
  }
}

function joined(parts: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const [only] = parts
  if (only && parts.length === 1) return only
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
