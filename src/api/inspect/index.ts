/** `/api/v1/inspect`: the actors of this node, for inspectors that read the events of `@statelyai/inspect`. */
import type { ApiContext } from '../context.ts'
import { WebSockets } from '../web-sockets.ts'
import { InspectorConnection } from './connection.ts'
import { inspectorToken } from './credentials.ts'

export function inspectorSockets(context: ApiContext): WebSockets {
  const { gateway, clock, logger, metrics, config } = context
  return new WebSockets(context, {
    name: 'an inspection',
    tokenOf: inspectorToken,
    connect: (socket, requestId, principal) => {
      const { bufferBytesMax } = config.stream
      return new InspectorConnection(socket, { gateway, clock, logger, metrics, requestId, bufferBytesMax }, principal)
    },
  })
}
