/**
 * Arrow's IPC stream from lines of JSON, a record batch per page. Types follow the engine's column types; what has no
 * counterpart that every reader knows (intervals, UUIDs, bit strings, nested values, …) is text, nested values as JSON.
 */
import { type Data, Field, makeData, RecordBatch, RecordBatchStreamWriter, Schema, Struct } from 'apache-arrow'
import type { Column } from '../domain/index.ts'
import { type ColumnBuilder, columnBuilder } from './arrow-columns.ts'

const comma = 44
const closeArray = 93

/** Keeps what is written until it is taken, instead of queueing it for a stream. */
class CollectingWriter extends RecordBatchStreamWriter {
  #chunks: Uint8Array[] = []

  protected override _write(chunk: ArrayBufferView | ArrayBufferLike): this {
    const bytes = ArrayBuffer.isView(chunk)
      ? new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      : new Uint8Array(chunk)
    if (bytes.length > 0) this.#chunks.push(bytes)
    this._position += bytes.length
    return this
  }

  take(): Buffer {
    const taken = Buffer.concat(this.#chunks)
    this.#chunks = []
    return taken
  }
}

export class ArrowEncoder {
  readonly #schema: Schema
  readonly #builders: readonly ColumnBuilder[]
  readonly #writer = new CollectingWriter()

  constructor(columns: readonly Column[]) {
    this.#builders = columns.map(({ type }) => columnBuilder(type))
    this.#schema = new Schema(
      columns.map(
        ({ name, type }, index) =>
          new Field(name, (this.#builders[index] as ColumnBuilder).type, true, new Map([['engine.type', type]])),
      ),
    )
  }

  /** The schema's message: what the stream begins with. */
  begin(): Buffer {
    this.#writer.reset(undefined, this.#schema)
    return this.#writer.take()
  }

  /** One record batch of all lines of the text. */
  batch(text: Buffer, rowCount: number): Buffer {
    const builders = this.#builders
    for (const builder of builders) builder.begin(text, rowCount)
    let position = 0
    for (let row = 0; row < rowCount; row++) {
      position++
      for (let index = 0; index < builders.length; index++) {
        if (text[position] === comma) position++
        position = (builders[index] as ColumnBuilder).value(position, row)
      }
      while (text[position] !== closeArray) position++
      position += 2
    }
    const children: Data[] = builders.map(builder => builder.finish())
    const data = makeData({ type: new Struct(this.#schema.fields), length: rowCount, nullCount: 0, children })
    this.#writer.write(new RecordBatch(this.#schema, data))
    return this.#writer.take()
  }

  /** What the stream ends with. */
  end(): Buffer {
    this.#writer.finish()
    return this.#writer.take()
  }
}
