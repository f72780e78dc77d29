/**
 * Rows that came over a network as batches of the wire: one line of JSON for each, compressed outside the main thread while the
 * next batch is being written. Shared by the drivers of servers; DuckDB writes from its vectors.
 */
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdCompressSync } from 'node:zlib'
import { EngineError, type RowBatch } from '../contract.ts'

const compress = promisify(zstdCompress)
const level1 = { [constants.ZSTD_c_compressionLevel]: 1 }

/** A batch is closed with the row that reaches this size, as JSON text. */
const batchBytes = 1024 * 1024
const slackBytes = 64 * 1024
/** Most results are small: the text begins with this much room and grows. */
const firstBytes = 4 * 1024
/** Up to here, compressing takes less time than the way to another thread. */
const smallBytes = 16 * 1024

/** A row is one text while it is written, and what serves it holds it whole. */
const rowLengthMax = 64 * 1024 * 1024

/** From a value that is not NULL, as its driver gives it, to its JSON. */
export type ValueWriter<Value> = (value: Value) => string

export class RowBatches<Value> {
  readonly #writers: readonly ValueWriter<Value>[]
  #text = Buffer.allocUnsafeSlow(firstBytes)
  #used = 0
  #rows = 0

  constructor(writers: readonly ValueWriter<Value>[]) {
    this.#writers = writers
  }

  get isFull(): boolean {
    return this.#used >= batchBytes
  }

  /** Throws an `EngineError` for a row that is too large. */
  add(row: readonly (Value | null)[]): void {
    let line = '['
    for (let index = 0; index < row.length; index++) {
      const value = row[index]
      if (index > 0) line += ','
      line += value === null ? 'null' : (this.#writers[index] as ValueWriter<Value>)(value as Value)
      if (line.length > rowLengthMax)
        throw new EngineError('failed', `A row of more than ${rowLengthMax} characters as JSON text is not taken.`)
    }
    line += ']\n'
    this.#reserve(line.length <= smallBytes ? line.length * 3 : Buffer.byteLength(line))
    this.#used += this.#text.write(line, this.#used)
    this.#rows++
  }

  /** The rows added since the last one; null when there are none. */
  take(): Promise<RowBatch> | null {
    if (this.#rows === 0) return null
    const rowCount = this.#rows
    const text = this.#text.subarray(0, this.#used)
    this.#text = Buffer.allocUnsafeSlow(this.isFull ? batchBytes + slackBytes : firstBytes)
    this.#rows = 0
    this.#used = 0
    // Room for all of it at once spares a turn through the thread pool for every 16 KiB.
    const options = { params: level1, chunkSize: Math.max(1024, text.length >> 1) }
    const compressing =
      text.length <= smallBytes ? Promise.resolve(zstdCompressSync(text, options)) : compress(text, options)
    return compressing.then(data => ({ rowCount, bytes: text.length, data }))
  }

  #reserve(size: number): void {
    if (this.#used + size <= this.#text.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#text.length * 2, this.#used + size))
    this.#text.copy(larger, 0, 0, this.#used)
    this.#text = larger
  }
}
