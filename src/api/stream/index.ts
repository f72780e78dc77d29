/** `/api/v1/stream`: what a client subscribes to, as it happens. */
import { bearerToken } from '../access.ts'
import type { ApiContext } from '../context.ts'
import { WebSockets } from '../web-sockets.ts'
import { Connection } from './connection.ts'

export function streamSockets(context: ApiContext): WebSockets {
  const { gateway, clock, logger, metrics, identity, config } = context
  return new WebSockets(context, {
    name: 'a stream',
    tokenOf: bearerToken,
    connect: (socket, requestId, principal) => {
      const { bufferBytesMax } = config.stream
      const { subscriptionsPerConnection: subscriptionsMax } = config.limits
      const { node } = identity()
      const given = { gateway, clock, logger, metrics, node, requestId, bufferBytesMax, subscriptionsMax }
      return new Connection(socket, given, principal)
    },
  })
}
