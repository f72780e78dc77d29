/** The client who leaves before its answer: whoever waits for it is told by a signal. */
import type { FastifyReply } from 'fastify'

/** Reason of the signal; nobody sees the answer made of it. */
export class ClientLeft extends Error {
  constructor() {
    super('the client closed the connection before the answer')
    this.name = 'ClientLeft'
  }
}

/** Aborts when the connection closes before the answer was sent. */
export function whileConnected(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new ClientLeft())
  })
  return controller.signal
}

/** For calls that go on without their client. */
export const neverAborted: AbortSignal = new AbortController().signal
