/** BullMQ on Redis: one worker of 64 at once; what is completed is removed, as its guide to production advises. */
import { Queue, Worker } from 'bullmq'

export async function work(url) {
  const worker = new Worker('work', async () => {}, { connection: { url }, concurrency: 64 })
  worker.on('error', error => process.stderr.write(`bullmq: ${error}\n`))
  await worker.waitUntilReady()
}

export async function produce(url) {
  const queues = Object.fromEntries(
    ['work', 'parked'].map(name => [
      name,
      new Queue(name, { connection: { url }, defaultJobOptions: { removeOnComplete: true } }),
    ]),
  )
  return {
    enqueue: queue => queues[queue].add('no-op', {}),
    unfinished: () => queues.work.getJobCountByTypes('wait', 'active', 'delayed', 'prioritized'),
    failed: () => queues.work.getFailedCount(),
    clearParked: () => queues.parked.obliterate({ force: true }),
  }
}
