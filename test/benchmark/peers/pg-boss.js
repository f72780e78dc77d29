/**
 * pg-boss: several workers of one process that fetch and complete in batches and go on at once while batches are full, as its
 * documentation advises for rate. Not woken by NOTIFY: PostgreSQL commits one notifying transaction after the other, which
 * measured a quarter of this.
 */
import pg from 'pg'
import { PgBoss } from 'pg-boss'

const polling = { burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 }

export async function work(url) {
  const boss = await started(url)
  await boss.work('work', { batchSize: 100, localConcurrency: 4, ...polling }, async () => {})
}

export async function produce(url) {
  const boss = await started(url)
  const pool = new pg.Pool({ connectionString: url, max: 1 })
  return {
    enqueue: queue => boss.send(queue, {}),
    unfinished: async () => {
      const { rowCount } = await pool.query(
        "SELECT 1 FROM pgboss.job WHERE name = 'work' AND state < 'completed' LIMIT 1",
      )
      return rowCount
    },
    failed: async () => {
      const { rowCount } = await pool.query("SELECT 1 FROM pgboss.job WHERE name = 'work' AND state > 'completed'")
      return rowCount
    },
    clearParked: async () => {
      await boss.deleteAllJobs('parked')
      await pool.query('VACUUM pgboss.job')
    },
  }
}

async function started(url) {
  const boss = new PgBoss({ connectionString: url, max: 64, supervise: false, schedule: false })
  boss.on('error', error => process.stderr.write(`pg-boss: ${error}\n`))
  await boss.start()
  for (const queue of ['work', 'parked']) await boss.createQueue(queue)
  return boss
}
