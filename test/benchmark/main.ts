/**
 * `npm run bench`: what this software costs, beside what the same machine and database do without it, in one run.
 *
 *     npm run bench -- [--seconds N] [--failovers N] [--only transitions,http,push,failover,idle] [--mysql URL]
 */
import { readFileSync } from 'node:fs'
import os from 'node:os'
import { parseArgs } from 'node:util'
import { createConnection } from 'mysql2/promise'
import { MySqlServer } from '../support/mysql.ts'
import { TestCluster } from '../support/nodes.ts'
import { Floors } from './floors.ts'
import { closedLoop } from './load.ts'
import { measureFailover } from './measures/failover.ts'
import { measureHttp } from './measures/http.ts'
import { measureTransitions } from './measures/journal.ts'
import { measurePush } from './measures/push.ts'
import { markdown, type Row, rateRow } from './report.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    failovers: { type: 'string', default: '17' },
    only: { type: 'string', default: 'transitions,http,push,failover,idle' },
    mysql: { type: 'string' },
  },
})
const forMs = Number(values.seconds) * 1_000
const wanted = new Set(values.only.split(','))

/** As in production: flushed at every commit, the binary log synced. */
const durable = [
  '--innodb-flush-log-at-trx-commit=1',
  '--log-bin=binlog',
  '--sync-binlog=1',
  '--server-id=1',
  '--innodb-buffer-pool-size=512M',
]
const server = values.mysql === undefined ? await MySqlServer.start(durable) : null
const serverUrl = values.mysql ?? (server as MySqlServer).url
const rows: Row[] = []
const databases: string[] = []

async function database(name: string): Promise<string> {
  const connection = await createConnection({ uri: serverUrl })
  const unique = `lens_bench_${name}_${process.pid}`
  await connection.query(`CREATE DATABASE ${unique}`)
  await connection.end()
  databases.push(unique)
  const url = new URL(serverUrl)
  url.pathname = `/${unique}`
  return url.href
}

function say(row: Row): void {
  rows.push(row)
  process.stderr.write(
    `${row.met ? 'met    ' : 'NOT MET'} ${row.name}: ${row.measured} (${row.target}${row.floor ? `; ${row.floor}` : ''})\n`,
  )
}

async function withCluster(
  nodes: number,
  env: Record<string, string>,
  work: (cluster: TestCluster, url: string) => Promise<void>,
): Promise<void> {
  const url = await database(`n${databases.length}`)
  const cluster = new TestCluster(url, { LENS_LOG_LEVEL: 'warn', ...env })
  try {
    await cluster.startAll(nodes)
    await work(cluster, url)
  } finally {
    await cluster.stop()
  }
}

const unlimited = {
  LENS_LIMITS_QUEUED_PER_USER: '0',
  LENS_LIMITS_SESSIONS_PER_USER: '0',
  LENS_LANES_QUEUED_MAX: '0',
}

try {
  if (wanted.has('transitions')) {
    const url = await database('journal')
    const floors = new Floors(url, forMs)
    await floors.prepare()
    const updates = await floors.autocommitUpdates()
    await floors.close()
    say(
      rateRow(
        'durable transitions of one node (actors, journal, store)',
        await measureTransitions(url, forMs),
        'bare single-row updates',
        updates,
        2,
      ),
    )
  }
  if (wanted.has('http'))
    await withCluster(
      1,
      { ...unlimited, LENS_LANES_HEAVY_SLOTS: '1', LENS_LANES_LIGHT_SLOTS: '64' },
      async (cluster, url) => {
        for (const row of await measureHttp(cluster.nodes[0] as never, url, forMs)) say(row)
      },
    )
  if (wanted.has('push'))
    await withCluster(3, unlimited, async (cluster, url) => {
      const connection = await createConnection({ uri: url })
      await connection.query('CREATE TABLE one_commit (id INT PRIMARY KEY)')
      let next = 0
      const perSecond = await closedLoop(
        1,
        1_000,
        async () => void (await connection.query('INSERT INTO one_commit VALUES (?)', [next++])),
      )
      await connection.end()
      const [owner, other] = cluster.nodes
      for (const row of await measurePush(owner as never, other as never, 1_000 / perSecond, 200)) say(row)
    })
  if (wanted.has('failover'))
    await withCluster(3, { ...unlimited, LENS_LANES_HEAVY_SLOTS: '9' }, async cluster => {
      for (const fault of ['follower', 'leader', 'frozen'] as const)
        say(await measureFailover(cluster, fault, Number(values.failovers)))
    })
  if (wanted.has('idle'))
    await withCluster(3, {}, async cluster => {
      const connection = await createConnection({ uri: serverUrl })
      const questions = async () => {
        const [found] = await connection.query("SHOW GLOBAL STATUS LIKE 'Questions'")
        return Number((found as { Value: string }[])[0]?.Value)
      }
      const from = await questions()
      const begin = performance.now()
      await new Promise(resolve => setTimeout(resolve, 10_000))
      const perNode = ((await questions()) - from) / ((performance.now() - begin) / 1_000) / 3
      await connection.end()
      const megabytes = Math.max(...cluster.nodes.map(node => residentMegabytes(node.pid)))
      say({
        name: 'idle node: statements',
        target: '≤ 5/s',
        measured: `${perNode.toFixed(1)}/s`,
        floor: '',
        ratio: null,
        met: perNode <= 5,
      })
      say({
        name: 'idle node: resident memory, without its engine process',
        target: '≤ 120 MB',
        measured: `${megabytes.toFixed(0)} MB`,
        floor: '',
        ratio: null,
        met: megabytes <= 120,
      })
    })
} finally {
  if (server) await server.destroy()
  else if (databases.length > 0) {
    const connection = await createConnection({ uri: serverUrl })
    for (const name of databases) await connection.query(`DROP DATABASE IF EXISTS ${name}`)
    await connection.end()
  }
}

function residentMegabytes(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(line?.[1]) / 1024
}

const load = os.loadavg()[0]?.toFixed(1)
process.stdout.write(
  `Node ${process.version}, ${os.cpus().length} cores, load ${load} at the end.\n\n${markdown(rows)}\n`,
)
