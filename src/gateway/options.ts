/** What a gateway is made of. */
import type { QueryHost, SessionHost } from '../actors/index.ts'
import type { Clock, Random } from '../async/index.ts'
import type { Engines } from '../engines/index.ts'
import type { Logger } from '../observability/index.ts'
import type { ResultReader } from '../results/index.ts'
import type { Store } from '../store/index.ts'
import type { LookupsAdmit } from './lookups.ts'
import type { ClusterPort, LogLevelPort, PeerPort } from './ports.ts'
import type { GatewaySettings } from './settings.ts'
import type { WebhookDesk } from './webhook-desk.ts'

export interface GatewayOptions {
  readonly store: Store
  readonly host: QueryHost
  readonly sessions: SessionHost
  readonly engines: Engines
  readonly results: ResultReader
  readonly peers: PeerPort
  readonly cluster: ClusterPort
  readonly logLevels: LogLevelPort
  readonly webhooks: WebhookDesk
  readonly settings: GatewaySettings
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly nodeId: string
  /** The cluster's secrets, its own first: see `session-desk.ts`. */
  readonly tokenSecrets: readonly string[]
  readonly databaseNow: () => number
  /** Whether a user may send one more request; everybody may unless given. */
  readonly admit?: LookupsAdmit
  /** Deletes what of a dropped result lies outside the store. */
  readonly deleteResultFiles: (handle: string) => Promise<void>
}
