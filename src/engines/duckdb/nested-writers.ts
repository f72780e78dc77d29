/** Writers of nested values: lists as arrays, structs as objects, maps as arrays of pairs, unions as the value they hold. */
import duckdb, { type Vector } from '@duckdb/node-bindings'
import { type ColumnWriter, fixedBytesMax, NullableWriter, view } from './column-writer.ts'
import type { TextSink } from './sink.ts'

const open = 91
const close = 93
const comma = 44

export class ListWriter extends NullableWriter {
  readonly #element: ColumnWriter
  #entries: Uint32Array = new Uint32Array(0)

  constructor(sink: TextSink, element: ColumnWriter) {
    super(sink)
    this.#element = element
  }

  protected attach(vector: Vector, count: number): void {
    this.#entries = view(Uint32Array, vector, count * 4)
    this.#element.load(duckdb.list_vector_get_child(vector), duckdb.list_vector_get_size(vector))
  }

  protected value(row: number): void {
    const first = this.#entries[row * 4] as number
    writeElements(this.sink, this.#element, first, this.#entries[row * 4 + 2] as number)
  }
}

export class ArrayWriter extends NullableWriter {
  readonly #element: ColumnWriter
  readonly #length: number

  constructor(sink: TextSink, element: ColumnWriter, length: number) {
    super(sink)
    this.#element = element
    this.#length = length
  }

  protected attach(vector: Vector, count: number): void {
    this.#element.load(duckdb.array_vector_get_child(vector), count * this.#length)
  }

  protected value(row: number): void {
    writeElements(this.sink, this.#element, row * this.#length, this.#length)
  }
}

function writeElements(sink: TextSink, element: ColumnWriter, first: number, count: number): void {
  sink.byte(open)
  for (let index = 0; index < count; index++) {
    sink.reserve(fixedBytesMax * 2)
    if (index > 0) sink.byte(comma)
    element.write(first + index)
  }
  sink.reserve(fixedBytesMax * 2)
  sink.byte(close)
}

export class StructWriter extends NullableWriter {
  readonly #keys: readonly Buffer[]
  readonly #values: readonly ColumnWriter[]

  constructor(sink: TextSink, names: readonly string[], values: readonly ColumnWriter[]) {
    super(sink)
    this.#keys = names.map((name, index) => Buffer.from(`${index === 0 ? '{' : ','}${JSON.stringify(name)}:`))
    this.#values = values
  }

  protected attach(vector: Vector, count: number): void {
    this.#values.forEach((value, index) => {
      value.load(duckdb.struct_vector_get_child(vector, index), count)
    })
  }

  protected value(row: number): void {
    const { sink } = this
    for (let index = 0; index < this.#values.length; index++) {
      const key = this.#keys[index] as Buffer
      sink.reserve(key.length + fixedBytesMax * 2)
      sink.raw(key)
      this.#values[index]?.write(row)
    }
    sink.reserve(fixedBytesMax * 2)
    if (this.#values.length === 0) sink.byte(123)
    sink.byte(125)
  }
}

/** A key and its value as a pair: keys may be of any type, so an object cannot hold them. */
export class PairWriter extends NullableWriter {
  readonly #key: ColumnWriter
  readonly #value: ColumnWriter

  constructor(sink: TextSink, key: ColumnWriter, value: ColumnWriter) {
    super(sink)
    this.#key = key
    this.#value = value
  }

  protected attach(vector: Vector, count: number): void {
    this.#key.load(duckdb.struct_vector_get_child(vector, 0), count)
    this.#value.load(duckdb.struct_vector_get_child(vector, 1), count)
  }

  protected value(row: number): void {
    const { sink } = this
    sink.byte(open)
    this.#key.write(row)
    sink.reserve(fixedBytesMax * 2)
    sink.byte(comma)
    this.#value.write(row)
    sink.reserve(fixedBytesMax * 2)
    sink.byte(close)
  }
}

export class UnionWriter extends NullableWriter {
  readonly #members: readonly ColumnWriter[]
  #tags: Uint8Array = new Uint8Array(0)

  constructor(sink: TextSink, members: readonly ColumnWriter[]) {
    super(sink)
    this.#members = members
  }

  protected attach(vector: Vector, count: number): void {
    this.#tags = view(Uint8Array, duckdb.struct_vector_get_child(vector, 0), count)
    this.#members.forEach((member, index) => {
      member.load(duckdb.struct_vector_get_child(vector, index + 1), count)
    })
  }

  protected value(row: number): void {
    this.#members[this.#tags[row] as number]?.write(row)
  }
}

export class NullWriter implements ColumnWriter {
  readonly #sink: TextSink
  constructor(sink: TextSink) {
    this.#sink = sink
  }
  load(): void {}
  write(): void {
    this.#sink.ascii('null')
  }
}
