/** Nodes that leave in order and come back under their name and at their address, as in a deployment. */
import { readdirSync, readFileSync } from 'node:fs'
import type { NodeProcess, TestCluster } from './nodes.ts'

/** SIGTERM, the end, and a new process in its place; resolves when that is ready. */
export async function restart(cluster: TestCluster, node: NodeProcess): Promise<NodeProcess> {
  const { code, signal } = await node.terminate()
  if (code !== 0) throw new Error(`${node.name} ended with ${code ?? signal}: ${JSON.stringify(node.log.slice(-5))}`)
  return startAgain(cluster, node)
}

/** A new process under the name and at the address of one that has ended; resolves when it is ready. */
export async function startAgain(cluster: TestCluster, { name, port }: NodeProcess): Promise<NodeProcess> {
  return (await cluster.start({ name, port })).ready()
}

/** The processes that a process has started and that are still there: a node's engine processes. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc').flatMap(entry => {
    if (!/^\d+$/.test(entry)) return []
    try {
      // The name of the program may hold anything; the fields follow its last parenthesis.
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8')
      const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return Number(parent) === pid ? [Number(entry)] : []
    } catch {
      return []
    }
  })
}
