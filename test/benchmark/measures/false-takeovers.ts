/**
 * With the default lease, every core taken by somebody else and queries coming all the time: whether anybody is declared dead who
 * is not.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import os from 'node:os'
import { ask } from '../../support/invariants.ts'
import { type Bench, unlimited } from '../bench.ts'
import { HttpClient } from '../http-client.ts'
import { closedLoop } from '../load.ts'
import { boundRow } from '../report.ts'
import { sizeOf } from '../sizes.ts'

const burnersPerCore = 2

/** `LENS_BENCH_BUSY_SECONDS` of it: three minutes. */
export function measureFalseTakeovers(bench: Bench): Promise<void> {
  const seconds = sizeOf(bench, 'BUSY_SECONDS', 180, 5)
  return bench.withCluster(3, unlimited, async (cluster, storeUrl) => {
    const clients = await Promise.all(
      cluster.nodes.map(async node => new HttpClient(node.port, 8, (await node.session('busy')).token)),
    )
    const burners: ChildProcess[] = []
    try {
      for (let count = 0; count < os.cpus().length * burnersPerCore; count++)
        burners.push(
          spawn(
            process.execPath,
            [
              '-e',
              'process.on("disconnect", () => process.exit()); const burn = () => { const end = Date.now() + 100; while (Date.now() < end); setImmediate(burn) }; burn()',
            ],
            { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] },
          ),
        )
      const rate = await closedLoop(12, seconds * 1_000, async worker => {
        const { status } = await (clients[worker % clients.length] as HttpClient).call('POST', '/api/v1/queries', {
          sql: 'select 42 as answer',
          lane: 'light',
        })
        if (status !== 202) throw new Error(`refused: ${status}`)
      })
      const [failovers] = await ask(storeUrl, 'SELECT COUNT(*) AS n FROM failover')
      const [dead] = await ask(storeUrl, "SELECT COUNT(*) AS n FROM member WHERE state = 'dead'")
      bench.tell({
        ...boundRow('false takeovers, all cores busy', Math.max(Number(failovers?.n), Number(dead?.n)), 0, ''),
        floor: `${seconds} s, ${burners.length} processes that only compute on ${os.cpus().length} cores, ${rate.toFixed(0)} submissions/s`,
      })
    } finally {
      for (const burner of burners) burner.kill('SIGKILL')
      for (const client of clients) client.close()
    }
  })
}
