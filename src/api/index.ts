/**
 * The front doors of a node on its one port: REST, stream, health, metrics, and the way to the peer bus. They call the
 * gateway and nothing else. The steps of leaving are separate, so that `node.ts` can put its own between them:
 *
 *     starting ─▶ listening ─▶ leaving ─▶ listener closed ─▶ stopped
 */
import type { AddressInfo } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import { type Clock, type Random, type Service, systemClock, systemRandom } from '../async/index.ts'
import { type Authenticator, Believing } from '../auth/index.ts'
import type { Gateway } from '../gateway/index.ts'
import type { Logger, Metrics } from '../observability/index.ts'
import type { ListenerTls } from '../tls/index.ts'
import { buildApplication } from './application.ts'
import { quietMs, startCheckMs, startWaitMs, unsoughtMs } from './bounds.ts'
import { Connections } from './connections.ts'
import type { ApiConfig, ApiContext, Application, HandleUpgrade, Identity } from './context.ts'
import { inspectorSockets } from './inspect/index.ts'
import { MemberOrigins } from './member-origins.ts'
import { Origins } from './origins.ts'
import { streamSockets } from './stream/index.ts'
import { routeUpgrades } from './upgrades.ts'
import type { WebSockets } from './web-sockets.ts'

export type { ApiConfig, HandleUpgrade, Identity } from './context.ts'

export interface ApiOptions {
  readonly gateway: Gateway
  /** Everybody is believed unless given. */
  readonly authenticator?: Authenticator
  readonly admitAddress?: ApiContext['admitAddress']
  readonly onRefused?: ApiContext['onRefused']
  readonly config: ApiConfig
  readonly logger: Logger
  readonly metrics: Metrics
  /** Asked for with every use: the incarnation changes with every fencing. */
  readonly identity: () => Identity
  readonly upgrades: { readonly busHandleUpgrade: HandleUpgrade }
  /** Nobody traces unless given. */
  readonly tracing?: ApiContext['tracing']
  /** Plain HTTP unless given. */
  readonly tls?: ListenerTls | null
  readonly clock?: Clock
  readonly random?: Random
}

export class ApiServer implements Service {
  readonly #context: ApiContext
  readonly #busHandleUpgrade: HandleUpgrade
  readonly #stream: WebSockets
  readonly #inspect: WebSockets
  readonly #members: MemberOrigins
  #application: Application | null = null
  #connections: Connections | null = null
  #wasReady = false
  #leaving = false
  #address: AddressInfo | null = null

  constructor(options: ApiOptions) {
    const { upgrades, tls = null, clock = systemClock, random = systemRandom, ...rest } = options
    const { authenticator = new Believing(), admitAddress = null, onRefused = () => {} } = options
    this.#context = { ...rest, tls, authenticator, admitAddress, onRefused, clock, random }
    this.#busHandleUpgrade = upgrades.busHandleUpgrade
    this.#stream = streamSockets(this.#context)
    this.#inspect = inspectorSockets(this.#context)
    this.#members = new MemberOrigins({
      otherNodes: () => this.#context.gateway.otherNodes(),
      onOtherNodes: listener => this.#context.gateway.onOtherNodes(listener),
      advertiseUrl: rest.config.node.advertiseUrl,
      clock,
    })
  }

  /** Listens: `/cluster/v1/identity`, health and the bus answer from now on, all else once the gateway was ready. */
  async start(): Promise<void> {
    if (this.#application) return
    const { config, gateway } = this.#context
    const { host, port } = config.node
    const origins = new Origins(config, this.#members)
    const application = await buildApplication(
      this.#context,
      origins,
      {
        starting: () => this.#starting(),
        untilStarted: () => this.#untilStarted(),
        leaving: () => this.#leaving || !gateway.accepting,
      },
      this.#members,
    )
    const { server } = application
    const connections = new Connections(server, this.#context.clock)
    this.#connections = connections
    server.on(
      'upgrade',
      routeUpgrades(this.#context, origins, {
        stream: (request, socket, head) => void this.#stream.handleUpgrade(request, socket, head),
        inspect: config.inspector.enabled
          ? (request, socket, head) => void this.#inspect.handleUpgrade(request, socket, head)
          : null,
        bus: (request, socket, head) => {
          connections.release(socket)
          this.#busHandleUpgrade(request, socket, head)
        },
        untilStarted: () => this.#untilStarted(),
      }),
    )
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, backlog: 4096 }, () => {
        server.off('error', reject)
        resolve()
      })
    })
    this.#application = application
    this.#address = server.address() as AddressInfo
    const { metrics } = this.#context
    metrics.onReading(() => metrics.buffered.set(this.#stream.bufferedBytes + this.#inspect.bufferedBytes))
    this.#stream.start()
    this.#inspect.start()
    this.#members.start()
  }

  /** Where it listens; the port that port 0 became. Throws before `start`. */
  get address(): { readonly host: string; readonly port: number } {
    if (!this.#address) throw new Error('the server does not listen yet')
    return { host: this.#address.address, port: this.#address.port }
  }

  /** Requests without an answer yet; long polls and downloads count. */
  get requests(): number {
    return this.#connections?.requests ?? 0
  }

  /** From now on every answer says `Connection: close`, as it does while `gateway.accepting` is false. Call it before the drain. */
  announceLeaving(): void {
    // A node that serves, but was asked nothing yet, must not take its own leaving for a start that never ended.
    this.#starting()
    this.#leaving = true
  }

  /** Resolves once nobody has opened a connection for a while, or is not going to stop doing so: then the listener can close. */
  async untilUnsought(): Promise<void> {
    await this.#connections?.untilUnsought(quietMs, unsoughtMs)
  }

  /** True once no request is without its answer; false when that takes longer than `withinMs`. */
  async untilAnswered(withinMs: number): Promise<boolean> {
    return (await this.#connections?.untilAnswered(withinMs)) ?? true
  }

  /** The certificates were replaced: connections that come from now on get the new ones, those that are open go on. */
  renewCertificates(): void {
    const server: unknown = this.#application?.server
    if (this.#context.tls && server instanceof TlsServer) server.setSecureContext(this.#context.tls.context())
  }

  /** No new connections. Those that are open stay, and are answered. */
  closeListener(): void {
    this.#connections?.closeListener()
  }

  /**
   * Waits until the clients have closed their connections, as `Connection: close` tells them with their next answer; then
   * closes those that are idle, and waits for the answers that are still under way on the others. True when no request is
   * left without its answer. Call it after `closeListener`.
   */
  async shedConnections(withinMs: number, answersMs: number): Promise<boolean> {
    const connections = this.#connections
    if (!connections || (await connections.untilClosed(withinMs))) return true
    await connections.closeIdle()
    return connections.untilAnswered(answersMs)
  }

  /** Ends what is left, at once. Safe twice and before `start`. */
  async stop(): Promise<void> {
    this.#leaving = true
    this.#stream.stop()
    this.#inspect.stop()
    this.#members.stop()
    const connections = this.#connections
    if (!this.#application || !connections) return
    connections.closeListener()
    connections.destroyAll()
    await connections.untilClosed(1000)
    // Ends what Node and Fastify hold besides sockets; nobody is left to be answered 503.
    await this.#application.close()
    this.#application.server.close()
  }

  /**
   * A node is listed as a member in the very commit that makes it one, and others may read that before it has the answer:
   * who comes that early waits instead of being refused, as long as for a store that is away: a proxy without checks of its own
   * goes on sending its share to a node that is being started again. Gives what is still missing after it.
   */
  async #untilStarted(): Promise<string | null> {
    const { clock, config } = this.#context
    const giveUpAt = clock.monotonic() + Math.max(startWaitMs, config.store.retryMs)
    for (;;) {
      const waitsFor = this.#starting()
      if (waitsFor === null || clock.monotonic() >= giveUpAt) return waitsFor
      await clock.sleep(startCheckMs)
    }
  }

  /** Latches: a node that was ready once answers for itself. */
  #starting(): string | null {
    if (this.#wasReady) return null
    const reason = this.#context.gateway.notReady()
    this.#wasReady = reason === null
    return reason
  }
}
