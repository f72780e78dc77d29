/**
 * From DuckDB's column vectors to rows as lines of JSON, in batches of bounded size, compressed outside the main thread
 * while the next batch is being written.
 */
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdCompressSync } from 'node:zlib'
import type { DuckDBDataChunk, DuckDBType } from '@duckdb/node-api'
import duckdb from '@duckdb/node-bindings'
import type { RowBatch } from '../contract.ts'
import { type ColumnWriter, fixedBytesMax } from './column-writer.ts'
import { TextSink } from './sink.ts'
import { writerFor } from './writers.ts'

const compress = promisify(zstdCompress)
const level1 = { [constants.ZSTD_c_compressionLevel]: 1 }

/** A batch is closed with the row that reaches this size, as JSON text. */
export const batchBytes = 1024 * 1024
const slackBytes = 64 * 1024
/** Most results are small: the text begins with this much room and grows. */
const firstBytes = 4 * 1024
/** Up to here, compressing takes less time than the way to another thread. */
const smallBytes = 16 * 1024

export class RowEncoder {
  readonly #sink = new TextSink(firstBytes)
  readonly #writers: readonly ColumnWriter[]
  #rows = 0
  // Vectors are read where DuckDB wrote them: the chunk must live for as long as its writers look at it.
  #chunk: DuckDBDataChunk | null = null
  #next = 0

  constructor(types: readonly DuckDBType[]) {
    this.#writers = types.map(type => writerFor(type, this.#sink))
  }

  /** Takes the next chunk; the one before must be used up. */
  load(chunk: DuckDBDataChunk): void {
    this.#chunk = chunk
    this.#next = 0
    const count = chunk.rowCount
    this.#writers.forEach((writer, index) => {
      writer.load(duckdb.data_chunk_get_vector(chunk.chunk, index), count)
    })
  }

  /** Writes rows of the chunk until it is used up (false) or a batch is full (true: `take` it, then go on). */
  fill(): boolean {
    const chunk = this.#chunk
    if (!chunk) return false
    const sink = this.#sink
    const writers = this.#writers
    const count = chunk.rowCount
    const rowBytes = (writers.length + 2) * fixedBytesMax
    while (this.#next < count) {
      if (sink.position >= batchBytes) return true
      const row = this.#next++
      sink.reserve(rowBytes)
      sink.byte(91)
      for (let index = 0; index < writers.length; index++) {
        if (index > 0) {
          // Values of unbounded size reserve only for themselves and one more.
          sink.reserve(rowBytes - index * fixedBytesMax)
          sink.byte(44)
        }
        ;(writers[index] as ColumnWriter).write(row)
      }
      sink.reserve(fixedBytesMax)
      sink.byte(93)
      sink.byte(10)
      this.#rows++
    }
    this.#chunk = null
    return sink.position >= batchBytes
  }

  /** The rows written since the last one; null when there are none. */
  take(): Promise<RowBatch> | null {
    if (this.#rows === 0) return null
    const rowCount = this.#rows
    this.#rows = 0
    const full = this.#sink.position >= batchBytes
    const text = this.#sink.take(full ? batchBytes + slackBytes : 0)
    // Room for all of it at once spares a turn through the thread pool for every 16 KiB.
    const options = { params: level1, chunkSize: Math.max(1024, text.length >> 1) }
    const compressing =
      text.length <= smallBytes ? Promise.resolve(zstdCompressSync(text, options)) : compress(text, options)
    return compressing.then(data => ({ rowCount, bytes: text.length, data }))
  }
}
