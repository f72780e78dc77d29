/** Holds what passes between a driver and its MySQL or MariaDB (`holding-proxy.ts`). */
import type { Teardown } from './folders.ts'
import { HoldingProxy, type Matches, type Protocol } from './holding-proxy.ts'

/** The end of a transaction that was begun before. */
export const isCommit: Matches = ({ type, text }) => type === 'query' && text === 'COMMIT'
/** The execution of a client's statement: the driver's own are sent as text. */
export const isExecution: Matches = ({ type }) => type === 'execute'
export const isOutcome: Matches = ({ type, text }) =>
  type === 'query' && /^INSERT INTO \S*lens_outcome` .* VALUES/.test(text)

const commands: Readonly<Record<number, string>> = { 3: 'query', 22: 'prepare', 23: 'execute' }
/** MySQL's servers take attributes before the text of a query: none, in one set. */
const noAttributes = '\0\x01'
const keptLength = 4096

const protocol: Protocol = {
  length: unread => (unread.length < 4 ? null : unread.readUIntLE(0, 3) + 4),
  message(bytes) {
    const type = commands[bytes[4] ?? 0]
    // A command begins a count of packets anew; what belongs to signing in does not.
    if (bytes[3] !== 0 || type === undefined) return null
    const text = type === 'execute' ? '' : bytes.toString('utf8', 5, Math.min(bytes.length, keptLength))
    return { type, text: text.startsWith(noAttributes) ? text.slice(noAttributes.length) : text }
  },
}

export const MySqlEngineProxy = {
  /** Gone with the test. */
  start: (t: Teardown, targetPort: number): Promise<HoldingProxy> => HoldingProxy.start(t, targetPort, protocol),
}
