/**
 * The Fastify application: the server below it, what happens around every request, and the routes hung into it. It is
 * never closed by `fastify.close()`, which would answer 503 to whoever still comes; see `connections.ts`.
 */

import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerOptions } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { Duplex } from 'node:stream'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { LensError } from '../domain/index.ts'
import { aboutRequest } from './access.ts'
import { headerBytesMax, headersMs, keepAliveMs, pathParameterCharactersMax } from './bounds.ts'
import { certificateRefusal } from './certificates.ts'
import { consoleRoutes } from './console.ts'
import type { ApiContext, Application } from './context.ts'
import { ClientLeft } from './departure.ts'
import { healthRoutes } from './health.ts'
import { parseJsonBody } from './json-body.ts'
import { prefix as lensPrefix, lensRefusals, lensRoutes } from './lens/index.ts'
import type { MemberOrigins } from './member-origins.ts'
import { describeApi } from './openapi.ts'
import type { Origins } from './origins.ts'
import { asLensError, invalid, problemHeaders, problemOf } from './problem.ts'
import { readQueryText } from './query-text.ts'
import { rawProblem } from './raw-problem.ts'
import { RoutesByPath } from './routes-by-path.ts'
import { authRoutes } from './v1/auth.ts'
import { clusterRoutes } from './v1/cluster.ts'
import { logLevelRoutes } from './v1/log-level.ts'
import { machineRoutes } from './v1/machines.ts'
import { preparedQueryRoutes } from './v1/prepared-queries.ts'
import { queryRoutes } from './v1/queries.ts'
import { sharedSchemas } from './v1/schemas.ts'
import { sessionRoutes } from './v1/sessions.ts'
import { webhookRoutes } from './v1/webhooks.ts'

const ordinaryHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

/** Browsers that came by TLS once come by nothing else for a year. */
const secureHeaders = { ...ordinaryHeaders, 'strict-transport-security': 'max-age=31536000' }

/** Whether the node was ready once, and whether it says good-bye. */
export interface Phase {
  /** Null from the first readiness on; before it, why not yet. */
  starting(): string | null
  /** The same, after waiting a moment for it. */
  untilStarted(): Promise<string | null>
  leaving(): boolean
}

export async function buildApplication(
  context: ApiContext,
  origins: Origins,
  phase: Phase,
  members: Pick<MemberOrigins, 'all'> = { all: () => [] },
): Promise<Application> {
  const { config, logger, metrics, identity, random, tls } = context
  const { limits } = config
  const securityHeaders = tls ? secureHeaders : ordinaryHeaders

  const app: Application = Fastify({
    serverFactory: handler => buildServer(handler as RequestListener, limits, tls),
    clientErrorHandler: (error, socket) => refuseRaw(error, socket, identity().node, random.uuid()),
    frameworkErrors: answerUnrouted as never,
    logger: false,
    genReqId: request => {
      const given = (request as IncomingMessage).headers['x-request-id']
      return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : random.uuid()
    },
    bodyLimit: limits.bodyBytesMax,
    trustProxy: config.node.trustedProxies.length > 0 ? [...config.node.trustedProxies] : false,
    exposeHeadRoutes: false,
    // Requests that arrive while the server is asked to stop are answered like all others.
    return503OnClosing: false,
    routerOptions: { maxParamLength: pathParameterCharactersMax },
    ajv: {
      customOptions: {
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: true,
        // All faults of a request are named; the body's own limit bounds how many there can be.
        allErrors: true,
        allowUnionTypes: true,
        verbose: true,
      },
    },
  }).withTypeProvider<TypeBoxTypeProvider>() as unknown as Application

  function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const seen = asLensError(error)
    if (seen.code === 'INTERNAL') {
      const left = reply.raw.destroyed || error instanceof ClientLeft
      if (left) logger.debug({ err: error, ...aboutRequest(request) }, 'a client left before its answer')
      else logger.error({ err: error, ...aboutRequest(request) }, 'a request failed')
    }
    const problem = problemOf(seen, identity().node, request.id)
    // Fastify closes under a client that is still sending, who is reset before it reads why. Node discards the rest of the
    // body instead, within the time that a request may take.
    if (reply.hasHeader('connection') && reply.raw.shouldKeepAlive) reply.header('connection', 'keep-alive')
    // Written whole, so that no serializer of the route is asked for a status it does not know.
    void reply
      .code(problem.status)
      .headers({
        'x-request-id': request.id,
        ...securityHeaders,
        ...problemHeaders(seen, challengeOf(request, config)),
      })
      .serializer((text: unknown) => text as string)
      .send(JSON.stringify(problem))
  }

  /** What reaches no route is answered in the protocol of its path all the same. */
  function answerUnrouted(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    if (config.lensApi.enabled && request.url.startsWith(`${lensPrefix}/`))
      lensRefusals(context)(error, request, reply.headers({ 'x-request-id': request.id, ...securityHeaders }))
    else answerError(error, request, reply)
  }

  const routesByPath = new RoutesByPath()
  for (const schema of sharedSchemas) app.addSchema(schema)
  app.setSerializerCompiler(() => JSON.stringify)
  app.setErrorHandler(answerError)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (_request, bytes, done) => {
    try {
      done(null, parseJsonBody(bytes))
    } catch (error) {
      done(error as Error)
    }
  })
  app.decorateRequest('principal')
  app.decorateRequest('span')

  app.addHook('onRoute', route => routesByPath.add(route.method, route.url))
  const { tracing } = context
  if (tracing) {
    app.addHook('onRequest', (request, _reply, done) => {
      // Probes and scrapes are no part of anybody's trace.
      if (!request.routeOptions.config.early) {
        const { traceparent } = request.headers
        request.span = tracing.request(request.method, typeof traceparent === 'string' ? traceparent : undefined)
      }
      done()
    })
    app.addHook('onResponse', (request, reply, done) => {
      request.span?.end(request.routeOptions.url ?? 'none', reply.statusCode)
      done()
    })
  }
  // What happens around every request is callbacks, not promises: it is a tenth of what a status request costs.
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(securityHeaders).header('x-request-id', request.id)
    const uncertified = tls && certificateRefusal(tls, request.url, request.raw.socket)
    if (uncertified) done(uncertified)
    else if (request.routeOptions.config.early || phase.starting() === null) done(refusalOf(request))
    else
      void phase.untilStarted().then(waitsFor => {
        if (waitsFor === null) done(refusalOf(request))
        else done(new LensError('STORE_UNAVAILABLE', `The node is starting: ${waitsFor}`))
      })
  })
  app.addHook('onRequest', origins.guard)
  const { admitAddress } = context
  if (admitAddress)
    app.addHook('onRequest', (request, _reply, done) => {
      const admitted = request.routeOptions.config.early ? null : admitAddress(request.ip)
      if (admitted) admitted.then(() => done(), done)
      else done()
    })
  app.addHook('preValidation', readQueryText)
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (phase.leaving()) reply.header('connection', 'close')
    done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none'
    metrics.httpRequests.inc({ route, method: request.method, status: reply.statusCode })
    metrics.httpRequestSeconds.observe({ route }, reply.elapsedTime / 1000)
    done()
  })
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] as string
    const methods = routesByPath.methodsOf(path)
    if (methods.length === 0) throw new LensError('NOT_FOUND', 'There is nothing under this path.')
    reply.header('allow', methods.join(', '))
    throw new LensError('NOT_FOUND', `This path answers ${methods.join(', ')} only.`)
  })

  await describeApi(app, config)
  healthRoutes(app, context)
  sessionRoutes(app, context)
  queryRoutes(app, context)
  preparedQueryRoutes(app, context)
  clusterRoutes(app, context)
  logLevelRoutes(app, context)
  webhookRoutes(app, context)
  machineRoutes(app, context)
  authRoutes(app, context)
  if (config.lensApi.enabled) await lensRoutes(app, context)
  consoleRoutes(app, members)
  await app.ready()
  return app
}

/** What no route wants to see; undefined when there is nothing against the request. */
function refusalOf({ headers, raw }: FastifyRequest): LensError | undefined {
  if (headers.host === undefined && raw.httpVersion === '1.1') return invalid('header host: required, but missing')
  const encoding = headers['content-encoding']
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return undefined
  return invalid('header content-encoding: expected none; compressed bodies are not read')
}

/** How to sign in, where that is what was wrong. A browser's own dialogue must not come up before the console's. */
function challengeOf({ routeOptions, headers }: FastifyRequest, { auth }: ApiContext['config']): string | undefined {
  const asksForPassword = auth.method === 'basic' && routeOptions.config.opensSession === true
  return asksForPassword && headers['sec-fetch-mode'] === undefined
    ? 'Basic realm="Lens HA", charset="UTF-8"'
    : undefined
}

function buildServer(handler: RequestListener, limits: ApiContext['config']['limits'], tls: ApiContext['tls']): Server {
  const options: ServerOptions = {
    maxHeaderSize: headerBytesMax,
    headersTimeout: Math.min(headersMs, limits.requestMs),
    requestTimeout: limits.requestMs,
    keepAliveTimeout: keepAliveMs,
    connectionsCheckingInterval: 1000,
    // Node's own refusal says nothing; ours is below.
    requireHostHeader: false,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
    // Offers such as `Upgrade: h2c` are to be ignored: the request is answered as it is.
    shouldUpgradeCallback: request => request.headers.upgrade?.toLowerCase() === 'websocket',
  }
  const asked = tls !== null && (tls.clients === 'required' || tls.peers === 'required')
  const server: Server = tls
    ? createSecureServer(
        // What was shown is judged with each request, see `certificates.ts`.
        { ...options, ...tls.context(), handshakeTimeout: headersMs, requestCert: asked, rejectUnauthorized: false },
        handler,
      )
    : createServer(options, handler)
  server.maxConnections = limits.connectionsMax
  return server
}

/** What never became a request: broken HTTP, too many headers, too slow. */
function refuseRaw(error: NodeJS.ErrnoException, socket: Duplex, node: string, requestId: string): void {
  // A connection that never said anything is closed without a word; one in the middle of an answer cannot be told.
  const { bytesRead, _httpMessage } = socket as Duplex & { bytesRead?: number; _httpMessage?: { headersSent: boolean } }
  // Nothing was secured that an answer could be sent through: no TLS, or none that both sides speak.
  const unsecured = /^ERR_(SSL|TLS)_/.test(error.code ?? '')
  if (unsecured || !socket.writable || error.code === 'ECONNRESET' || bytesRead === 0 || _httpMessage?.headersSent) {
    socket.destroy()
    return
  }
  const refusal =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new LensError('TOO_LARGE', `The line and headers of the request exceed ${headerBytesMax} bytes.`)
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? invalid('The request did not arrive in time.')
        : invalid('The request is not valid HTTP/1.1.')
  socket.end(rawProblem(refusal, node, requestId), () => socket.destroy())
}
