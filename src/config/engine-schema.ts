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
  driver: Type.Enum(['duckdb', 'mysql', 'postgresql', 'trino'], {
    default: 'duckdb',
    description:
      'What executes: `duckdb` reads the files named under `tables`, in a process of its own; `mysql` (MySQL, MariaDB), `postgresql` and `trino` are servers, reached by `url`.',
  }),
  tables: Type.Record(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,62}$' }), Type.String({ minLength: 1 }), {
    default: {},
    description:
      'Table name → file, folder or pattern (Parquet, CSV, TSV, JSON, JSON lines), the same on every node, read only. `package:NAME/PATH` names a file of an installed npm package. `null` takes a default table away.',
  }),
  url: Type.Optional(
    Type.String({
      minLength: 1,
      secret: true,
      description:
        'Where the server is, and as whom: `mysql://user:password@host:port/database`, `postgresql://user:password@host:port/database` with `?sslmode=verify-full` and the like for TLS, `https://user:password@host:port/catalog/schema` (of which Trino needs host and port alone). Every node uses it.',
    }),
  ),
  password: Type.Optional(
    Type.String({
      minLength: 1,
      secret: true,
      description: 'The password of the user in `url`, in place of one in `url`, for whom the file is not the place.',
    }),
  ),
  token: Type.Optional(
    Type.String({
      minLength: 1,
      secret: true,
      description: 'Of `trino`: a JSON web token to sign in with, in place of a password.',
    }),
  ),
  tls: Type.Optional(
    Type.Enum(['off', 'encrypted', 'verified'], {
      description:
        'Of `mysql` and `trino`: `encrypted` takes any certificate, `verified` only one for the host in `url`, of an authority that Node trusts (`NODE_EXTRA_CA_CERTS` names others). `off` unless set; with an `https` address of `trino` `verified`.',
    }),
  ),
  access: Type.Optional(
    Type.Enum(['read-write', 'read-only'], {
      description:
        'With `read-only` every statement runs in a read-only transaction, whatever it is; `read-write` unless set.',
    }),
  ),
  connectionsMax: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 10_000,
      description:
        'Connections of one node to the engine for statements, besides four for estimates, cancels and the like; as many as the engine has slots unless set.',
    }),
  ),
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

/** Which keys are there for which driver alone; all others are for every one. */
export const driverKeys: Readonly<
  Record<string, { readonly own: readonly string[]; readonly required: readonly string[] }>
> = {
  duckdb: { own: ['tables', 'memoryBytesMax', 'threads'], required: [] },
  mysql: { own: ['url', 'password', 'tls', 'access', 'connectionsMax'], required: ['url'] },
  postgresql: { own: ['url', 'password', 'access', 'connectionsMax'], required: ['url'] },
  trino: { own: ['url', 'password', 'token', 'tls', 'connectionsMax'], required: ['url'] },
}
