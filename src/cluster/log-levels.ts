/**
 * What the nodes write to their logs, asked and changed from any of them, over the peer bus. A node that cannot be reached, or is
 * older than the question, is shown without a level; whoever wanted it changed sees that it was not told.
 */
import type { Clock, Random } from '../async/index.ts'
import type { LogLevel, LogLevelChange, LogLevelView } from '../domain/index.ts'
import type { LogLevelPort } from '../gateway/index.ts'
import type { PeerBus, PeerMessage } from './bus-contract.ts'
import type { MemberWatch } from './member-watch.ts'

/** A node's own. */
export interface OwnLogLevel {
  readonly state: { readonly level: LogLevel; readonly configured: LogLevel; readonly revertsAt: string | null }
  change(change: LogLevelChange): OwnLogLevel['state']
}

export interface LogLevelsOptions {
  readonly node: string
  readonly own: OwnLogLevel
  readonly bus: PeerBus
  readonly watch: MemberWatch
  readonly clock: Clock
  readonly random: Random
}

/** Messages between nodes take milliseconds; who has not answered by then is not going to. */
const answerMs = 1_000

export class LogLevels implements LogLevelPort {
  readonly #options: LogLevelsOptions
  readonly #asked = new Map<string, (is: LogLevelView) => void>()

  constructor(options: LogLevelsOptions) {
    this.#options = options
    options.bus.listen((message, from) => this.#receive(message, from))
  }

  async ask(node: string | null, change: LogLevelChange | null): Promise<readonly LogLevelView[] | null> {
    const { node: self, watch } = this.#options
    if (node === null || node === self) return [this.#own(change)]
    // The newest member of each name: the one before it has lost its lease, or is about to.
    const living = new Map(
      (await watch.refresh()).members
        .filter(member => watch.leaseLeftMs(member) > 0 && (node === '*' || member.nodeId === node))
        .map(member => [member.nodeId, member.incarnation]),
    )
    if (living.size === 0 && node !== '*') return null
    living.delete(self)
    const others = [...living].map(([name, incarnation]) => this.#of(name, incarnation, change))
    const levels = await Promise.all(node === '*' ? [this.#own(change), ...others] : others)
    return levels.sort((a, b) => (a.node < b.node ? -1 : 1))
  }

  #own(change: LogLevelChange | null): LogLevelView {
    const { node, own } = this.#options
    return { node, ...(change ? own.change(change) : own.state) }
  }

  async #of(node: string, incarnation: string, change: LogLevelChange | null): Promise<LogLevelView> {
    const { bus, clock, random } = this.#options
    const id = random.uuid()
    const unknown: LogLevelView = { node, level: null, configured: null, revertsAt: null }
    const answer = new Promise<LogLevelView>(resolve => {
      const cancel = clock.after(answerMs, () => resolve(unknown))
      this.#asked.set(id, is => {
        cancel()
        resolve({ ...is, node })
      })
      if (!bus.send(incarnation, { type: 'log-level', id, change })) {
        cancel()
        resolve(unknown)
      }
    })
    return answer.finally(() => this.#asked.delete(id))
  }

  #receive(message: PeerMessage, from: string): void {
    if (message.type === 'log-level-is') this.#asked.get(message.id)?.(message.is)
    else if (message.type === 'log-level')
      this.#options.bus.send(from, { type: 'log-level-is', id: message.id, is: this.#own(message.change) })
  }
}
