/** graphile-worker: the settings of its own performance page, local queue and batched completion. */
import { makeWorkerUtils, run } from 'graphile-worker'
import pg from 'pg'

export async function work(url) {
  await run({
    preset: {
      worker: {
        connectionString: url,
        concurrentJobs: 24,
        maxPoolSize: 25,
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
    taskList: { work: async () => {} },
  })
}

export async function produce(url) {
  // Every job notifies, and PostgreSQL commits one notifying transaction after the other: more connections only queue.
  const utils = await makeWorkerUtils({ connectionString: url, maxPoolSize: 16 })
  await utils.migrate()
  const pool = new pg.Pool({ connectionString: url, max: 1 })
  return {
    enqueue: queue => utils.addJob(queue, {}),
    unfinished: async () => {
      const { rowCount } = await pool.query("SELECT 1 FROM graphile_worker.jobs WHERE task_identifier = 'work' LIMIT 1")
      return rowCount
    },
    failed: async () => {
      const { rowCount } = await pool.query('SELECT 1 FROM graphile_worker.jobs WHERE last_error IS NOT NULL')
      return rowCount
    },
    clearParked: () => pool.query('TRUNCATE graphile_worker._private_jobs'),
  }
}
