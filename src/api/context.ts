/** What every front door is given, and the shape of the application that the routes are hung into. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Clock, Random } from '../async/index.ts'
import type { Authenticator } from '../auth/index.ts'
import type { Config } from '../config/index.ts'
import type { Gateway, Origin, Principal } from '../gateway/index.ts'
import type { Logger, Metrics } from '../observability/index.ts'
import type { ListenerTls } from '../tls/index.ts'
import type { RequestSpan, Tracing } from '../tracing/index.ts'

export type ApiConfig = Pick<
  Config,
  'node' | 'limits' | 'sessions' | 'cors' | 'stream' | 'inspector' | 'lensApi' | 'auth'
> & {
  readonly store: Pick<Config['store'], 'retryMs'>
}

export interface SignInRefusal {
  /** Whom the client said it is, where it said so. */
  readonly user: string | undefined
  readonly code: string
  readonly origin: Origin
}

/** Who this process is: `/cluster/v1/identity`, and `node` of every error. */
export interface Identity {
  readonly node: string
  readonly incarnation: string
}

/** Takes an HTTP upgrade over, socket and all. */
export type HandleUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

export interface ApiContext {
  readonly gateway: Gateway
  /** Who opens a session. */
  readonly authenticator: Authenticator
  /** Whether an address may send one more request; see `RequestRates`. Null where addresses are not limited. */
  readonly admitAddress: ((address: string) => Promise<void> | null) | null
  /** Told of who was not let in. */
  readonly onRefused: (refusal: SignInRefusal) => void
  readonly config: ApiConfig
  readonly logger: Logger
  readonly metrics: Metrics
  readonly identity: () => Identity
  /** Null: nobody traces. */
  readonly tracing?: Pick<Tracing, 'request'> | null
  /** Null: the port speaks plain HTTP. */
  readonly tls: ListenerTls | null
  readonly clock: Clock
  readonly random: Random
}

export type Application = FastifyInstance<
  Server,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

declare module 'fastify' {
  interface FastifyRequest {
    /** Set where the route asks for a session; see `access.ts`. */
    principal: Principal
    /** Where requests are traced. */
    span?: RequestSpan
  }
  interface FastifyContextConfig {
    /** Answers also before the node was ready for the first time. */
    readonly early?: boolean
    /** Credentials are what it asks for, not a session's token. */
    readonly opensSession?: boolean
  }
}
