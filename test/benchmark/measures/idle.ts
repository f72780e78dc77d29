/** What a node costs while nobody asks it anything. */
import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { createConnection } from 'mysql2/promise'
import type { Bench } from '../bench.ts'
import { boundRow } from '../report.ts'

const nodes = 3

export function measureIdle(bench: Bench): Promise<void> {
  return bench.withCluster(nodes, {}, async cluster => {
    const connection = await createConnection({ uri: bench.serverUrl })
    const questions = async () => {
      const [found] = await connection.query("SHOW GLOBAL STATUS LIKE 'Questions'")
      return Number((found as { Value: string }[])[0]?.Value)
    }
    const from = await questions()
    const begin = performance.now()
    await setTimeout(bench.brief ? 1_000 : 20_000)
    const perNode = ((await questions()) - from) / ((performance.now() - begin) / 1_000) / nodes
    await connection.end()
    const megabytes = Math.max(...cluster.nodes.map(node => residentMegabytes(node.pid)))
    bench.tell(
      boundRow('idle node: statements', perNode, 5, '/s', 1),
      boundRow('idle node: resident memory, without its engine process', megabytes, 120, ' MB'),
    )
  })
}

export function residentMegabytes(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(line?.[1]) / 1024
}
