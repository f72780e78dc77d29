/** Status requests over HTTP beside a bare server that asks the same database for one row. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { freePort, type NodeProcess } from '../../support/nodes.ts'
import { type Bench, unlimited } from '../bench.ts'
import { Floors } from '../floors.ts'
import { HttpClient } from '../http-client.ts'
import { closedLoop } from '../load.ts'
import { concurrency, expect, lanes, NodeLoad } from '../node-load.ts'
import { inTurns, rateRow } from '../report.ts'

export function measureStatus(bench: Bench): Promise<void> {
  const { rounds, roundMs } = bench
  return bench.withCluster(1, { ...unlimited, ...lanes }, async (cluster, url) => {
    const floors = new Floors(url, roundMs)
    await floors.prepare()
    await floors.close()
    const bare = await bareServer(url)
    try {
      const load = await NodeLoad.on(cluster.nodes[0] as NodeProcess, bench.databasePid)
      await load.whole(bench.brief ? 100 : 2_000)
      const client = new HttpClient(bare.port, concurrency)
      const ask = (path: string) =>
        closedLoop(concurrency, roundMs, async () => expect(200, await client.call('GET', path)))
      const ours = () => load.statuses(roundMs)
      const beside = await inTurns(rounds, () => ask('/row/7'), ours)
      const hello = await inTurns(Math.min(2, rounds), () => ask('/hello'), ours)
      client.close()
      load.close()
      bench.tell(
        rateRow(
          'status requests over HTTP, session validated in the database',
          beside,
          'bare Fastify + point select',
          1.5,
          `${load.cost.status}`,
        ),
        rateRow('status requests, for comparison', hello, 'bare Fastify', null),
      )
    } finally {
      bare.stop()
    }
  })
}

async function bareServer(url: string): Promise<{ port: number; stop(): void }> {
  const port = await freePort()
  const child = fork(new URL('../bare-server.ts', import.meta.url), [url, String(port)])
  await once(child, 'message')
  return { port, stop: () => child.kill() }
}
