/** Holds what passes between a driver and its PostgreSQL (`holding-proxy.ts`). */
import type { Teardown } from './folders.ts'
import { HoldingProxy, type Matches, type Message, type Protocol } from './holding-proxy.ts'

export type { Matches } from './holding-proxy.ts'

/** The end of a transaction that was begun before. */
export const isCommit: Matches = ({ type, text }) => type === 'Q' && text === 'COMMIT'
/** The execution of a client's statement: the driver prepares it under this name. */
export const isExecution: Matches = ({ type, text }) => type === 'B' && text === 'lens'
export const isOutcome: Matches = ({ type, text }) => type === 'P' && /^INSERT INTO \S*lens_outcome/.test(text)

/** Types: `Q` a statement as text, `P` one to be prepared, `B` the values for one (its text: the name of it), `E` its execution. */
const protocol: Protocol = {
  length(unread, isFirst) {
    const header = isFirst ? 0 : 1
    return unread.length < header + 4 ? null : header + unread.readUInt32BE(header)
  },
  message: messageOf,
}

export const PostgresProxy = {
  /** Gone with the test. */
  start: (t: Teardown, targetPort: number): Promise<HoldingProxy> => HoldingProxy.start(t, targetPort, protocol),
}

function messageOf(bytes: Buffer): Message {
  const type = String.fromCharCode(bytes[0] as number)
  const [first = '', second = ''] = bytes.toString('utf8', 5, Math.min(bytes.length, 4096)).split('\0', 2)
  return { type, text: type === 'Q' ? first : type === 'P' || type === 'B' ? second : '' }
}
