/**
 * What a page holds: rows as lines of JSON, one array per row, compressed. Written once where the rows are made, stored as
 * it is, and opened only to be read.
 */
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdDecompress, zstdDecompressSync } from 'node:zlib'
import type { WireValue } from '../domain/index.ts'
import type { RowBatch } from '../engines/index.ts'

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)
const lineFeed = 10
const chunkBytesMin = 1024
/** Up to here, opening takes less time than the way to another thread. */
const smallBytes = 16 * 1024

/** For engines whose rows arrive as values. */
export async function encodePage(rows: readonly (readonly WireValue[])[]): Promise<RowBatch> {
  const text = Buffer.from(rows.map(row => `${JSON.stringify(row)}\n`).join(''))
  const data = await compress(text, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })
  return { rowCount: rows.length, bytes: text.length, data }
}

/**
 * The lines of a page, UTF-8, each with its line feed. `bytes` is their size as the page tells it: room for all of it at once
 * spares a turn through the thread pool for every 16 KiB.
 */
export async function decodePage(data: Uint8Array, bytes: number): Promise<Buffer> {
  const options = { chunkSize: Math.max(chunkBytesMin, bytes + 1) }
  return bytes <= smallBytes ? zstdDecompressSync(data, options) : decompress(data, options)
}

/** Where line `row` of the text begins; the text's length when there are fewer. */
export function lineStart(text: Buffer, row: number): number {
  let position = 0
  for (let line = 0; line < row; line++) {
    const next = text.indexOf(lineFeed, position)
    if (next < 0) return text.length
    position = next + 1
  }
  return position
}

/** Values of the lines from `first` on, at most `limit`. */
export function parseLines(text: Buffer, first: number, limit: number): WireValue[][] {
  const rows: WireValue[][] = []
  let position = lineStart(text, first)
  while (rows.length < limit && position < text.length) {
    const next = text.indexOf(lineFeed, position)
    const end = next < 0 ? text.length : next
    rows.push(JSON.parse(text.toString('utf8', position, end)))
    position = end + 1
  }
  return rows
}
