/** DBOS: a workflow of one empty function, enqueued by a client of its own and taken from a queue by the application. */
import { DBOS, DBOSClient } from '@dbos-inc/dbos-sdk'
import pg from 'pg'

const connections = 64
// Of 10 and 100 ms, with and without this limit, the best on a 4-core machine; 1 s is the default.
const queue = { minPollingIntervalMs: 100, workerConcurrency: 500 }
const log = (...entry) => process.stderr.write(`dbos: ${entry.map(String).join(' ')}\n`)
const logger = { debug: () => {}, info: () => {}, warn: log, error: log }

export async function work(url) {
  DBOS.setConfig({ name: 'peer', systemDatabaseUrl: url, systemDatabasePoolSize: connections, logger })
  DBOS.registerWorkflow(async () => {}, { name: 'noOp' })
  await DBOS.launch()
  await DBOS.registerQueue('work', queue)
}

export async function produce(url) {
  const client = await DBOSClient.create({
    systemDatabaseUrl: url,
    systemDatabasePoolSize: connections,
    applicationName: 'peer',
    logger,
  })
  const pool = new pg.Pool({ connectionString: url, max: 1 })
  return {
    enqueue: queueName => client.enqueue({ queueName, workflowName: 'noOp' }),
    unfinished: async () => {
      const { rowCount } = await pool.query(
        "SELECT 1 FROM dbos.workflow_status WHERE queue_name = 'work' AND status IN ('ENQUEUED', 'PENDING') LIMIT 1",
      )
      return rowCount
    },
    failed: async () => {
      const { rowCount } = await pool.query(
        "SELECT 1 FROM dbos.workflow_status WHERE queue_name = 'work' AND status <> 'SUCCESS'",
      )
      return rowCount
    },
    clearParked: async () => {
      await pool.query("DELETE FROM dbos.workflow_status WHERE queue_name = 'parked'")
      await pool.query('VACUUM dbos.workflow_status')
    },
  }
}
