/** Lanes and engines: the parts of the schema that stand in it more than once, or under free names. */
import { Type } from 'typebox'
import { count, group, MiB } from './kinds.ts'

export const laneSchema = (slots: number, which: string) =>
  group(`The ${which} lane.`, {
    slots: count(
      slots,
      1,
      { description: `Queries of the ${which} lane that run at once in the whole cluster, per engine.` },
      100_000,
    ),
  })

export const engineSchema = group('One engine.', {
  driver: Type.Enum(['duckdb'], {
    default: 'duckdb',
    description: 'What executes: `duckdb` reads the files named under `tables`, in a process of its own.',
  }),
  tables: Type.Record(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,62}$' }), Type.String({ minLength: 1 }), {
    default: {},
    description:
      'Table name → file, folder or pattern (Parquet, CSV, TSV, JSON, JSON lines), the same on every node, read only. `package:NAME/PATH` names a file of an installed npm package. `null` takes a default table away.',
  }),
  group: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'Engines of one group stand in for each other: a query may name the group, and another attempt may run on another engine of it.',
    }),
  ),
  slots: Type.Object(
    {
      light: Type.Integer({
        minimum: 1,
        maximum: 100_000,
        derived: '`lanes.light.slots`',
        description: 'Light queries that run at once on this engine, in the whole cluster.',
      }),
      heavy: Type.Integer({
        minimum: 1,
        maximum: 100_000,
        derived: '`lanes.heavy.slots`',
        description: 'Heavy queries that run at once on this engine, in the whole cluster.',
      }),
    },
    { description: 'Slots of this engine, where they differ from those of the lanes.', additionalProperties: false },
  ),
  memoryBytesMax: Type.Optional(
    Type.Integer({
      minimum: 64 * MiB,
      maximum: 2 ** 45,
      unit: 'bytes',
      description:
        "Memory of the engine on one node; the engine's own default (80 % of the machine for DuckDB) unless set.",
    }),
  ),
  threads: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1024,
      description: 'Threads of the engine on one node; one per core unless set.',
    }),
  ),
})
