/**
 * Every key of the configuration with type, default, unit, range and a sentence: the one source of the loader's checks,
 * of `config/default.yaml` and of `docs/configuration.md` (a test holds the three equal).
 *
 * Units come last in names: `…Ms` milliseconds, `…Bytes`/`…BytesMax` bytes; a bare count ends in what it counts or `Max`.
 */
import { type Static, Type } from 'typebox'
import { authSchema } from './auth-schema.ts'
import { engineSchema, laneSchema } from './engine-schema.ts'
import { bytes, count, dayMs, derivedMilliseconds, derivedText, flag, group, MiB, milliseconds, text } from './kinds.ts'
import { storeTlsSchema, tlsSchema } from './tls-schema.ts'
import type { DeepReadonly } from './tree.ts'
import { webhookSchema } from './webhook-schema.ts'

export const configSchema = group('Lens HA.', {
  node: group('Who this node is and where it listens.', {
    id: derivedText({
      derived: 'host name and port',
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
      env: 'LENS_NODE_ID',
      description:
        'Name of this node; no two living nodes of a cluster have the same. Letters, digits, dot, dash and underscore.',
    }),
    host: text('127.0.0.1', {
      env: 'LENS_HOST',
      description:
        'Address to listen on. With `auth.method: none` anyone who reaches it can act as anyone, so it is loopback unless set.',
    }),
    port: count(
      9999,
      0,
      {
        env: 'LENS_PORT',
        description: 'Port to listen on: API, stream, metrics and peers share it. 0 = any free one.',
      },
      65_535,
    ),
    advertiseUrl: derivedText({
      derived: 'host and port (the host name when `node.host` is a wildcard)',
      env: 'LENS_ADVERTISE_URL',
      description: 'How peers and clients reach this node: an http or https URL without a path.',
    }),
    trustedProxies: Type.Array(Type.String({ minLength: 2 }), {
      default: [],
      description:
        'Addresses or networks (`10.0.0.0/8`) of the proxies before the nodes: what they say in X-Forwarded-For is the address of the client.',
    }),
  }),
  dataDir: text('./data', {
    env: 'LENS_DATA_DIR',
    description:
      'Folder for what a node keeps on its own disk; made when missing. Relative paths, here and below, start at the working directory.',
  }),
  store: group('The database that the nodes share.', {
    url: derivedText({
      derived: '`sqlite:` and `lens.db` in `dataDir`',
      env: 'LENS_STORE_URL',
      secret: true,
      description:
        '`sqlite:PATH` (processes of one machine share it) or `mysql://user:password@host:port/database` (MySQL 8.4 or later, MariaDB 10.6 or later).',
    }),
    connectionsMax: count(
      16,
      2,
      { description: 'Connections of one node to the database, besides the two of its heartbeat.' },
      1000,
    ),
    retryMs: milliseconds(
      5000,
      0,
      {
        description:
          'How long a statement is repeated while the database is away before the request gets STORE_UNAVAILABLE.',
      },
      600_000,
    ),
    tls: storeTlsSchema,
  }),
  cluster: group('Membership, leadership, takeover.', {
    secret: derivedText({
      derived: 'made once and kept in `cluster.secret` beside an SQLite store; required with MySQL',
      env: 'LENS_CLUSTER_SECRET',
      minLength: 16,
      secret: true,
      description: 'What nodes authenticate to each other with; the same on all, 16 characters or more.',
    }),
    secretAccepted: Type.Optional(
      Type.String({
        minLength: 16,
        secret: true,
        description:
          'A second secret that is accepted beside `cluster.secret`, while it is being replaced on one node after the other.',
      }),
    ),
    leaseMs: milliseconds(
      2000,
      200,
      {
        env: 'LENS_LEASE_MS',
        description:
          'How long a node counts as alive after its last heartbeat. Shorter takes over sooner from a frozen node, longer forgives slower disks.',
      },
      600_000,
    ),
    heartbeatMs: milliseconds(
      500,
      20,
      { env: 'LENS_HEARTBEAT_MS', description: 'Time between heartbeats; less than half of `cluster.leaseMs`.' },
      300_000,
    ),
    marginMs: derivedMilliseconds(0, 60_000, {
      derived: 'a tenth of `cluster.leaseMs`',
      description: 'A node stops trusting its own lease this long before the lease ends, for clocks that run apart.',
    }),
    peerConnectMs: milliseconds(1000, 50, { description: 'How long connecting to a peer may take.' }, 60_000),
    probeMs: derivedMilliseconds(20, 60_000, {
      derived: 'a quarter of `cluster.leaseMs`, at most 1000',
      description:
        'How long the probe of a suspected node waits for an answer. A time-out proves nothing: the lease then decides.',
    }),
    claimsMax: count(
      500,
      1,
      { description: 'Queries that one takeover statement claims; more orphans take several.' },
      500,
    ),
    orphansMs: milliseconds(
      1000,
      50,
      { description: "Period of the leader's standing search for orphans; never shorter than the lease." },
      600_000,
    ),
    earlyTakeoverBanMs: milliseconds(3_600_000, 0, {
      description: 'A node that was taken over early and proves alive is then given its whole lease for this long.',
    }),
  }),
  tls: tlsSchema,
  drain: group('Leaving the cluster without anyone noticing.', {
    graceMs: milliseconds(
      25_000,
      0,
      {
        description:
          'How long a draining node lets queries end that cannot be handed over; then they are cancelled and run again elsewhere.',
      },
      86_400_000,
    ),
    readinessMs: milliseconds(
      0,
      0,
      {
        description:
          "How long `/readyz` is false before the listener closes: the proxies' check interval × fall. 0 without a proxy.",
      },
      600_000,
    ),
  }),
  lanes: group('Two lanes, so that heavy queries never hold up light ones.', {
    heavyFromCost: count(
      10_000_000,
      0,
      { description: 'Estimated cost (rows that the operators of the plan handle) from which on a query is heavy.' },
      Number.MAX_SAFE_INTEGER,
    ),
    queuedMax: count(20_000, 0, {
      description:
        'Queries that wait for one lane in the whole cluster; one more is refused with QUEUE_FULL. 0 = unlimited.',
    }),
    light: laneSchema(32, 'light'),
    heavy: laneSchema(4, 'heavy'),
  }),
  engines: Type.Record(Type.String({ pattern: '^[a-z][a-z0-9_-]{0,62}$' }), engineSchema, {
    description:
      'The engines by name, the same on every node; the first one serves queries that name none. What stands here is added to the default engine; `null` takes it away.',
    default: {
      duckdb: {
        driver: 'duckdb',
        tables: {
          flights: 'package:vega-datasets/data/flights-3m.parquet',
          airports: 'package:vega-datasets/data/airports.csv',
          weather: 'package:vega-datasets/data/weather.csv',
        },
      },
    },
  }),
  limits: group('A limit on everything. 0 = unlimited where it says so.', {
    sessionsPerUser: count(1000, 0, { description: 'Open sessions of one user in the cluster. 0 = unlimited.' }),
    queuedPerUser: count(10_000, 0, { description: 'Queued queries of one user in the cluster. 0 = unlimited.' }),
    runningPerUser: count(0, 0, {
      description:
        'Running queries of one user in the cluster; more wait. 0 = unlimited: the slots of the lanes and turns among users bound them.',
    }),
    requestsPerUser: count(0, 0, {
      description:
        'Requests of one user a second in the cluster, twice as many at once; more get RATE_LIMITED. 0 = unlimited.',
    }),
    requestsPerAddress: count(0, 0, {
      description:
        'Requests from one address a second in the cluster, twice as many at once. 0 = unlimited. Behind a proxy set `node.trustedProxies`.',
    }),
    sqlBytesMax: bytes(MiB, 1, { description: 'SQL text of one statement.' }, 64 * MiB),
    bodyBytesMax: bytes(
      2 * MiB,
      1024,
      { description: 'Body of one request, and one frame sent by a client; at least `limits.sqlBytesMax`.' },
      128 * MiB,
    ),
    propertiesBytesMax: bytes(
      65_536,
      0,
      { description: 'Properties of one session or query, names and values together.' },
      16 * MiB,
    ),
    parametersMax: count(1000, 0, { description: 'Parameters of one statement.' }, 65_535),
    resultBytesMax: bytes(1024 * MiB, 0, {
      description: 'Rows of one result as JSON text; a larger one fails with RESULT_TOO_LARGE. 0 = unlimited.',
    }),
    pageRowsMax: count(10_000, 1, { description: 'Rows in one answer of `GET …/results`.' }, 1_000_000),
    listMax: count(1000, 1, { description: 'Sessions, queries or prepared queries in one answer of a list.' }, 10_000),
    longPollMs: milliseconds(
      60_000,
      0,
      { description: 'Longest `waitMs` of a long poll; a longer one is shortened.' },
      3_600_000,
    ),
    syncMs: milliseconds(
      300_000,
      1,
      { description: 'Longest `timeoutMs` of a synchronous query, and the default.' },
      86_400_000,
    ),
    requestMs: milliseconds(30_000, 100, { description: 'How long a client may take to send a request.' }, 3_600_000),
    connectionsMax: count(
      20_000,
      1,
      { description: 'Connections of clients to one node, HTTP and WebSocket together.' },
      10_000_000,
    ),
    subscriptionsPerConnection: count(
      1000,
      1,
      { description: 'Subscriptions of one WebSocket connection.' },
      1_000_000,
    ),
  }),
  sessions: group('Sessions.', {
    idleMs: milliseconds(dayMs, 1000, {
      description:
        'A session that nobody used for this long expires; unfinished queries, long polls, subscriptions and inspections are use.',
    }),
    revalidateMs: milliseconds(
      300,
      20,
      {
        description:
          'Open long polls, subscriptions and inspections are checked against the database this often; a session closed elsewhere ends them.',
      },
      60_000,
    ),
    passivateMs: milliseconds(300_000, 1000, {
      description: 'A session leaves the memory of a node that has not used it for this long; its row stays.',
    }),
  }),
  results: group('Rows of finished queries.', {
    retentionMs: milliseconds(
      dayMs,
      1000,
      { description: 'How long rows are kept after the query ended; then they answer RESULT_EXPIRED.' },
      365 * dayMs,
    ),
    bytesMax: bytes(
      0,
      0,
      {
        description:
          'How large the rows of all finished queries may be together, as JSON text; beyond, those that would expire next answer RESULT_EXPIRED at once. 0 = unlimited.',
      },
      2 ** 50,
    ),
    directory: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'A folder that all nodes share, for the pages of results; in the database unless set.',
      }),
    ),
  }),
  queries: group('Queries.', {
    retentionMs: milliseconds(
      7 * dayMs,
      1000,
      { description: 'How long finished queries stay listed; their rows not longer than they.' },
      3650 * dayMs,
    ),
    finishedMax: count(0, 0, {
      description:
        'How many finished queries stay listed; beyond, those that ended first are forgotten. 0 = unlimited.',
    }),
    engineFailuresMax: count(
      3,
      1,
      { description: 'How often the engine may be lost under one query; then ENGINE_UNAVAILABLE.' },
      1000,
    ),
    enginePatienceMs: milliseconds(
      300_000,
      0,
      {
        description:
          'How long a query waits, in the queue, for an engine that cannot be reached; of a group, as long as none can.',
      },
      dayMs,
    ),
    engineDeathsMax: count(
      3,
      1,
      { description: "Deaths of the engine's process under one query; then RECOVERY_FAILED." },
      1000,
    ),
    nodeDeathsMax: count(20, 1, { description: 'Deaths of nodes under one query; then RECOVERY_FAILED.' }, 1000),
    retryDelayMs: milliseconds(
      1000,
      0,
      {
        description: 'Delay before another attempt at an engine that could not be reached; doubles with each failure.',
      },
      3_600_000,
    ),
  }),
  webhooks: Type.Record(Type.String({ pattern: '^[a-z][a-z0-9_-]{0,62}$' }), webhookSchema, {
    description: 'Who is told when a query has ended, by name, the same on every node; nobody unless set.',
    default: {},
  }),
  auth: authSchema,
  cors: group('Browsers.', {
    origins: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description: 'Origins whose pages may call the API, such as `https://app.example.com`; all others are refused.',
    }),
  }),
  stream: group('WebSocket subscriptions.', {
    bufferBytesMax: bytes(
      (3 * MiB) / 4,
      16_384,
      {
        description:
          'Unsent bytes for one reader; a slower one is closed with 1013 and resumes with `after`. With what surrounds them, a reader takes 1 MB at the most.',
      },
      1024 * MiB,
    ),
    pingMs: milliseconds(
      15_000,
      100,
      { description: 'Time between pings; a client that answers none in between is dropped.' },
      3_600_000,
    ),
  }),
  inspector: group('The live machines, for tools outside.', {
    enabled: flag(true, {
      description:
        "Whether `/api/v1/inspect` streams the steps of this node's actors to inspectors such as Stately's: admins see all, others their own.",
    }),
  }),
  lensApi: group('The wire protocol of Apache Lens, for its clients.', {
    enabled: flag(true, {
      description: "Whether `/lensapi` answers Apache Lens's clients; else it is as any path that does not exist.",
    }),
  }),
  audit: group('Who did what.', {
    file: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'File of JSON lines about sessions opened and refused, queries submitted and cancelled, rows read, nodes drained, log levels changed, deliveries repeated; `-` is standard output. None unless set. SIGHUP opens it anew.',
      }),
    ),
  }),
  log: group('Log, JSON lines on standard output.', {
    level: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
      default: 'info',
      env: 'LENS_LOG_LEVEL',
      description: 'The least severe level that is written; `lens log-level` changes it while nodes run.',
    }),
  }),
})

/** The whole configuration, complete: every path absolute, every derived value filled in. Passed down, never global. */
export type Config = DeepReadonly<Static<typeof configSchema>>
export type EngineConfig = Config['engines'][string]
export type WebhookConfig = Config['webhooks'][string]
