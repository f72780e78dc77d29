/** HTTP upgrades: to the stream, to an inspection, to the peer bus, or refused. Browsers of other origins are refused here too. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { LensError } from '../domain/index.ts'
import { certificateRefusal } from './certificates.ts'
import type { ApiContext, HandleUpgrade } from './context.ts'
import { type Origins, refusedOrigin } from './origins.ts'
import { rawProblem } from './raw-problem.ts'

export interface UpgradeTargets {
  readonly stream: HandleUpgrade
  /** Null where the configuration has switched it off. */
  readonly inspect: HandleUpgrade | null
  readonly bus: HandleUpgrade
  /** Waits a moment for the start: null when the node serves; else why not yet. The bus is let in before. */
  readonly untilStarted: () => Promise<string | null>
}

export function routeUpgrades(context: ApiContext, origins: Origins, targets: UpgradeTargets): HandleUpgrade {
  const { identity, random, tls } = context
  return (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Resets while nobody else listens would end the process.
    socket.on('error', () => socket.destroy())
    const refuse = (error: LensError) => {
      socket.end(rawProblem(error, identity().node, random.uuid()), () => socket.destroy())
    }
    const path = (request.url ?? '').split('?', 1)[0]
    const uncertified = tls && certificateRefusal(tls, request.url ?? '', request.socket)
    if (uncertified) return refuse(uncertified)
    if (path === '/cluster/v1/bus') return targets.bus(request, socket, head)
    const target = path === '/api/v1/stream' ? targets.stream : path === '/api/v1/inspect' ? targets.inspect : null
    if (!target) return refuse(new LensError('NOT_FOUND', 'There is no WebSocket under this path.'))
    const { origin, host } = request.headers
    if (origin !== undefined && origins.judge(origin, host) === 'refused') return refuse(refusedOrigin())
    void targets.untilStarted().then(waitsFor => {
      if (waitsFor === null) target(request, socket, head)
      else refuse(new LensError('STORE_UNAVAILABLE', `The node is starting: ${waitsFor}`))
    })
  }
}
