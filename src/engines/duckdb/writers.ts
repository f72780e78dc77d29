/** The writer of each type of DuckDB. */
import {
  type DuckDBArrayType,
  type DuckDBDecimalType,
  type DuckDBEnumType,
  type DuckDBListType,
  type DuckDBMapType,
  type DuckDBStructType,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBUnionType,
  DuckDBVector,
  JsonDuckDBValueConverter,
} from '@duckdb/node-api'
import type { Vector } from '@duckdb/node-bindings'
import { type ColumnWriter, fixedBytesMax, NullableWriter } from './column-writer.ts'
import { ArrayWriter, ListWriter, NullWriter, PairWriter, StructWriter, UnionWriter } from './nested-writers.ts'
import {
  BigIntWriter,
  BooleanWriter,
  FloatWriter,
  HugeIntWriter,
  IntegerWriter,
  SingleWriter,
  SmallDecimalWriter,
  UnsignedBigIntWriter,
  UnsignedHugeIntWriter,
  UuidWriter,
  WideDecimalWriter,
} from './number-writers.ts'
import type { TextSink } from './sink.ts'
import { BigNumWriter, BitWriter, BlobWriter, EnumWriter, TextWriter } from './text-writers.ts'
import { DateWriter, IntervalWriter, TimestampWriter, TimeWithZoneWriter, TimeWriter } from './time-writers.ts'

/** Types that are rare: through the library's own conversion. */
class ConvertingWriter extends NullableWriter {
  readonly #type: DuckDBType
  #vector: DuckDBVector | undefined

  constructor(sink: TextSink, type: DuckDBType) {
    super(sink)
    this.#type = type
  }

  protected attach(vector: Vector, count: number): void {
    this.#vector = DuckDBVector.create(vector, count, this.#type)
  }

  protected value(row: number): void {
    const value = this.#vector?.getItem(row)
    const converted =
      value === null || value === undefined
        ? null
        : JsonDuckDBValueConverter(value, this.#type, JsonDuckDBValueConverter)
    const text = Buffer.from(JSON.stringify(converted))
    this.sink.reserve(text.length + fixedBytesMax)
    this.sink.raw(text)
  }
}

export function writerFor(type: DuckDBType, sink: TextSink): ColumnWriter {
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
      return new BooleanWriter(sink, Uint8Array)
    case DuckDBTypeId.TINYINT:
      return new IntegerWriter(sink, Int8Array)
    case DuckDBTypeId.SMALLINT:
      return new IntegerWriter(sink, Int16Array)
    case DuckDBTypeId.INTEGER:
      return new IntegerWriter(sink, Int32Array)
    case DuckDBTypeId.UTINYINT:
      return new IntegerWriter(sink, Uint8Array)
    case DuckDBTypeId.USMALLINT:
      return new IntegerWriter(sink, Uint16Array)
    case DuckDBTypeId.UINTEGER:
      return new IntegerWriter(sink, Uint32Array)
    case DuckDBTypeId.BIGINT:
      return new BigIntWriter(sink)
    case DuckDBTypeId.UBIGINT:
      return new UnsignedBigIntWriter(sink)
    case DuckDBTypeId.HUGEINT:
      return new HugeIntWriter(sink)
    case DuckDBTypeId.UHUGEINT:
      return new UnsignedHugeIntWriter(sink)
    case DuckDBTypeId.BIGNUM:
      return new BigNumWriter(sink)
    case DuckDBTypeId.FLOAT:
      return new SingleWriter(sink, Float32Array)
    case DuckDBTypeId.DOUBLE:
      return new FloatWriter(sink, Float64Array)
    case DuckDBTypeId.DECIMAL:
      return decimalWriter(type as DuckDBDecimalType, sink)
    case DuckDBTypeId.DATE:
      return new DateWriter(sink)
    case DuckDBTypeId.TIMESTAMP_S:
      return new TimestampWriter(sink, 0, '')
    case DuckDBTypeId.TIMESTAMP_MS:
      return new TimestampWriter(sink, 3, '')
    case DuckDBTypeId.TIMESTAMP:
      return new TimestampWriter(sink, 6, '')
    case DuckDBTypeId.TIMESTAMP_NS:
      return new TimestampWriter(sink, 9, '')
    case DuckDBTypeId.TIMESTAMP_TZ:
      return new TimestampWriter(sink, 6, 'Z')
    case DuckDBTypeId.TIME:
      return new TimeWriter(sink, 6)
    case DuckDBTypeId.TIME_NS:
      return new TimeWriter(sink, 9)
    case DuckDBTypeId.TIME_TZ:
      return new TimeWithZoneWriter(sink)
    case DuckDBTypeId.INTERVAL:
      return new IntervalWriter(sink)
    case DuckDBTypeId.VARCHAR:
      return new TextWriter(sink)
    case DuckDBTypeId.BLOB:
    case DuckDBTypeId.GEOMETRY:
      return new BlobWriter(sink)
    case DuckDBTypeId.BIT:
      return new BitWriter(sink)
    case DuckDBTypeId.UUID:
      return new UuidWriter(sink)
    case DuckDBTypeId.ENUM:
      return enumWriter(type as DuckDBEnumType, sink)
    case DuckDBTypeId.LIST:
      return new ListWriter(sink, writerFor((type as DuckDBListType).valueType, sink))
    case DuckDBTypeId.ARRAY:
      return new ArrayWriter(
        sink,
        writerFor((type as DuckDBArrayType).valueType, sink),
        (type as DuckDBArrayType).length,
      )
    case DuckDBTypeId.STRUCT: {
      const { entryNames, entryTypes } = type as DuckDBStructType
      return new StructWriter(
        sink,
        entryNames,
        entryTypes.map(entry => writerFor(entry, sink)),
      )
    }
    case DuckDBTypeId.MAP: {
      const { keyType, valueType } = type as DuckDBMapType
      return new ListWriter(sink, new PairWriter(sink, writerFor(keyType, sink), writerFor(valueType, sink)))
    }
    case DuckDBTypeId.UNION:
      return new UnionWriter(
        sink,
        (type as DuckDBUnionType).memberTypes.map(member => writerFor(member, sink)),
      )
    case DuckDBTypeId.SQLNULL:
      return new NullWriter(sink)
    default:
      return new ConvertingWriter(sink, type)
  }
}

function decimalWriter({ width, scale }: DuckDBDecimalType, sink: TextSink): ColumnWriter {
  if (width <= 4) return new SmallDecimalWriter(sink, Int16Array, scale)
  if (width <= 9) return new SmallDecimalWriter(sink, Int32Array, scale)
  return new WideDecimalWriter(sink, width <= 18 ? 2 : 4, scale)
}

function enumWriter({ values }: DuckDBEnumType, sink: TextSink): ColumnWriter {
  if (values.length <= 256) return new EnumWriter(sink, Uint8Array, values)
  if (values.length <= 65_536) return new EnumWriter(sink, Uint16Array, values)
  return new EnumWriter(sink, Uint32Array, values)
}
