/**
 * A large result as CSV, from the first byte to the last, beside DuckDB's own export of the same rows to a file; and what streaming
 * it costs the node in memory, whether it has a million rows or ten.
 */
import { once } from 'node:events'
import { rm, stat } from 'node:fs/promises'
import { get } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DuckDBInstance } from '@duckdb/node-api'
import type { NodeProcess } from '../../support/nodes.ts'
import { type Bench, unlimited } from '../bench.ts'
import { watchedPeak } from '../memory.ts'
import { boundRow, inTurns, type Row, rateRow } from '../report.ts'
import { sizeOf } from '../sizes.ts'

const flights = fileURLToPath(new URL('../../../node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url))
const memoryMiBMax = 100

/** About three minutes; `LENS_BENCH_ROWS` rows, and a tenth of them. */
export function measureDownload(bench: Bench): Promise<void> {
  const rows = sizeOf(bench, 'ROWS', 10_000_000, 200_000)
  return bench.withCluster(1, { ...unlimited, LENS_LIMITS_RESULT_BYTES_MAX: '0' }, async cluster => {
    const node = cluster.nodes[0] as NodeProcess
    const { token } = await node.session('download')
    const sqlOf = (limit: number) =>
      `select delay::int delay, distance::int distance, origin, destination, r.range::int again from flights, range(5) r limit ${limit}`
    const handleOf = async (limit: number) => {
      const { handle } = await node.submit(token, { sql: sqlOf(limit), lane: 'light' })
      const ended = await node.ended(token, handle, 600_000)
      if (ended.result?.rowCount !== limit)
        throw new Error(`it has other rows: ${JSON.stringify(ended.error ?? ended.result)}`)
      return handle as string
    }
    const small = await handleOf(rows / 10)
    const large = await handleOf(rows)
    await download(node, token, small)
    const few = watchedPeak(node.pid)
    await download(node, token, small)
    const moreFew = few()
    const exported = await duckDbExport(join(cluster.folder, 'export.csv'), sqlOf(rows))
    const peaks: number[] = []
    const rounds = await inTurns(Math.min(3, bench.rounds), exported.rate, async () => {
      const peak = watchedPeak(node.pid)
      const { bytes, ms } = await download(node, token, large)
      if (bytes < rows * 10) throw new Error(`only ${bytes} bytes came`)
      peaks.push(peak())
      return rows / (ms / 1_000)
    })
    exported.close()
    const name = `${rows.toLocaleString('en')} rows as CSV, first byte to last`
    const memory: Row = {
      ...boundRow(`${name}: memory of the node more, at its highest`, Math.max(...peaks), memoryMiBMax, ' MB'),
      floor: `a tenth of the rows: ${moreFew.toFixed(0)} MB`,
    }
    bench.tell({ ...rateRow(`${name}: rows/s`, rounds, 'DuckDB’s own export to a file, rows/s', 0.5) }, memory)
  })
}

async function download(node: NodeProcess, token: string, handle: string): Promise<{ bytes: number; ms: number }> {
  const request = get(`${node.url}/api/v1/queries/${handle}/results`, {
    headers: { authorization: `Bearer ${token}`, accept: 'text/csv' },
  })
  const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage]
  if (response.statusCode !== 200) throw new Error(`no rows: ${response.statusCode}`)
  let bytes = 0
  let first = Number.NaN
  response.on('data', (chunk: Buffer) => {
    if (bytes === 0) first = performance.now()
    bytes += chunk.length
  })
  await once(response, 'end')
  return { bytes, ms: performance.now() - first }
}

/** DuckDB in this process, over the same file, with the rows in memory as the node has them in its store. */
async function duckDbExport(file: string, sql: string) {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`create view flights as select * from read_parquet('${flights}')`)
  await connection.run(`create table result as ${sql}`)
  const [[count]] = (await (await connection.run('select count(*)::int from result')).getRows()) as [[number]]
  return {
    async rate(): Promise<number> {
      const from = performance.now()
      await connection.run(`copy result to '${file}' (format csv, header)`)
      const rate = count / ((performance.now() - from) / 1_000)
      if ((await stat(file)).size === 0) throw new Error('nothing was exported')
      await rm(file)
      return rate
    },
    close() {
      connection.closeSync()
      instance.closeSync()
    },
  }
}
