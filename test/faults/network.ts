/**
 * A network of its own for the nodes of one cluster, so that one can be cut off as if its cable was pulled: each node lives in
 * a network namespace with an address of its own on a bridge, and the databases' proxies and the clients live on the host.
 *
 *     host 10.S.C.1 ── bridge ──┬── veth ── n1 10.S.C.11
 *                               ├── veth ── n2 10.S.C.12
 *                               └── veth ── n3 10.S.C.13
 *
 * Unplugged is a veth taken down: packets vanish, nobody is told. Deaf in one direction is a neighbour entry that sends what is
 * meant for one address to a card that does not exist. Neither needs a firewall or `tc`. Needs root and iproute2.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Teardown } from '../support/folders.ts'
import { requiredProgram } from '../support/packages.ts'
import { isAlive } from '../support/processes.ts'

const execute = promisify(execFile)

/** Nobody's: what is sent there is lost without a word. */
const nowhere = '02:de:ad:00:00:01'
const interfaceLimit = 15

export class Network {
  /** Where the host is reached from the nodes. */
  readonly host: string
  readonly #ip: string
  readonly #tag: string
  readonly #prefix: string
  readonly #names: readonly string[]

  private constructor(ip: string, tag: string, subnet: number, names: readonly string[]) {
    this.#ip = ip
    this.#tag = tag
    this.#prefix = `10.213.${subnet}`
    this.#names = names
    this.host = `${this.#prefix}.1`
  }

  /** Null where namespaces cannot be made: only root can. */
  static async create(t: Teardown, names: readonly string[]): Promise<Network | null> {
    if (process.getuid?.() !== 0) return null
    const ip = await requiredProgram(['ip'], 'iproute2')
    await removeLeftovers(ip)
    for (let subnet = 1; ; subnet++) {
      // At most 15 characters, with the longest suffix: what an interface may be called.
      const network = new Network(ip, `lf${process.pid.toString(36)}-${subnet}`, subnet, names)
      if (!(await network.#claim())) {
        if (subnet === 250) throw new Error('no subnet is free for the nodes')
        continue
      }
      t.teardown(() => network.#remove())
      await network.#build()
      return network
    }
  }

  addressOf(name: string): string {
    return `${this.#prefix}.${11 + this.#names.indexOf(name)}`
  }

  /** What a command begins with to run where this node lives. */
  within(name: string): readonly string[] {
    return [this.#ip, 'netns', 'exec', this.#namespace(name)]
  }

  async unplug(name: string): Promise<void> {
    await this.#run('link', 'set', this.#card(name), 'down')
  }

  async plug(name: string): Promise<void> {
    await this.#run('link', 'set', this.#card(name), 'up')
  }

  /** Nothing that `from` sends reaches `to` any more, on connections that exist and on new ones; each a node's name or `host`. */
  async deafen(from: string, to: string): Promise<void> {
    await this.#neighbour(from, 'replace', to, 'lladdr', nowhere, 'nud', 'permanent')
  }

  async undeafen(from: string, to: string): Promise<void> {
    await this.#neighbour(from, 'del', to)
  }

  async #neighbour(from: string, verb: 'replace' | 'del', to: string, ...more: string[]): Promise<void> {
    const address = to === 'host' ? this.host : this.addressOf(to)
    const [place, card] = from === 'host' ? [[], this.#bridge] : [['-n', this.#namespace(from)], 'eth0']
    await this.#run(...place, 'neigh', verb, address, ...more.slice(0, 2), 'dev', card, ...more.slice(2))
  }

  /** False when the subnet is another's. */
  async #claim(): Promise<boolean> {
    const { stdout } = await execute(this.#ip, ['-o', 'addr'])
    if (stdout.includes(` ${this.host}/`)) return false
    try {
      await this.#run('link', 'add', this.#bridge, 'type', 'bridge')
    } catch (error) {
      // Another cluster of this process has just made it.
      if (String(error).includes('File exists')) return false
      throw error
    }
    await this.#run('addr', 'add', `${this.host}/24`, 'dev', this.#bridge)
    // Two that looked at the same instant: the second to look again gives way.
    const { stdout: again } = await execute(this.#ip, ['-o', 'addr'])
    if (again.split(` ${this.host}/`).length === 2) return true
    await this.#run('link', 'del', this.#bridge)
    return false
  }

  async #build(): Promise<void> {
    await this.#raise(this.#bridge)
    for (const name of this.#names) {
      const [space, card] = [this.#namespace(name), this.#card(name)]
      await this.#run('netns', 'add', space)
      await this.#run('link', 'add', card, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space)
      await this.#run('link', 'set', card, 'master', this.#bridge)
      await this.#raise(card)
      await this.#run('-n', space, 'link', 'set', 'lo', 'up')
      await this.#run('-n', space, 'addr', 'add', `${this.addressOf(name)}/24`, 'dev', 'eth0')
      await this.#run('-n', space, 'link', 'set', 'eth0', 'up')
    }
  }

  /**
   * Without an address of IPv6's own making: with each that comes and goes on the host, every browser on the machine gives up its
   * connections (ERR_NETWORK_CHANGED).
   */
  async #raise(card: string): Promise<void> {
    await this.#run('link', 'set', card, 'addrgenmode', 'none')
    await this.#run('link', 'set', card, 'up')
  }

  async #remove(): Promise<void> {
    for (const name of this.#names) {
      await this.#run('netns', 'del', this.#namespace(name)).catch(() => undefined)
      // Goes with its namespace, but only when the last process in it has ended.
      await this.#run('link', 'del', this.#card(name)).catch(() => undefined)
    }
    await this.#run('link', 'del', this.#bridge).catch(() => undefined)
  }

  #namespace(name: string): string {
    return `${this.#tag}-${name}`
  }

  #card(name: string): string {
    return this.#namespace(name).slice(0, interfaceLimit)
  }

  get #bridge(): string {
    return this.#tag.slice(0, interfaceLimit)
  }

  async #run(...args: readonly string[]): Promise<void> {
    await execute(this.#ip, args)
  }
}

/** Of runs that were killed: their names hold the id of the process that made them. */
async function removeLeftovers(ip: string): Promise<void> {
  const ended = (name: string): boolean => {
    const pid = /^lf([0-9a-z]+)-\d+/.exec(name)?.[1]
    return pid !== undefined && !isAlive(Number.parseInt(pid, 36))
  }
  const remove = (...args: string[]) => execute(ip, args).catch(() => undefined)
  const { stdout: spaces } = await execute(ip, ['netns', 'list'])
  for (const line of spaces.split('\n')) {
    const [name = ''] = line.split(' ')
    if (ended(name)) await remove('netns', 'del', name)
  }
  const { stdout: links } = await execute(ip, ['-o', 'link'])
  for (const [, name = ''] of links.matchAll(/^\d+: ([^:@]+)/gm)) if (ended(name)) await remove('link', 'del', name)
}
