/**
 * One process of a peer: `node run.js PEER worker|producer URL`. The producer is to the peer what the load generator is to a
 * node, the worker what the node is. Plain JavaScript, since it is checked only where the peers are installed.
 */
const [, , name, role, url] = process.argv
const peer = await import(`./${name}.js`)

const clients = 64

process.on('disconnect', () => process.exit(0))

if (role === 'worker') {
  await peer.work(url)
  process.send({ ready: true })
} else {
  const producer = await peer.produce(url)
  process.on('message', async ({ kind, forMs }) => {
    try {
      process.send({ rate: await (kind === 'whole' ? whole(producer, forMs) : submissions(producer, forMs)) })
    } catch (error) {
      process.send({ error: String(error?.stack ?? error) })
    }
  })
  process.send({ ready: true })
}

/** Enqueues from all clients for this long, then waits until the last is durably done. Per second of both. */
async function whole(producer, forMs) {
  const begin = performance.now()
  const total = await enqueue(producer, 'work', forMs)
  while ((await producer.unfinished()) > 0) await new Promise(resolve => setTimeout(resolve, 10))
  const rate = total / ((performance.now() - begin) / 1_000)
  // What failed is no longer unfinished either.
  const failed = await producer.failed()
  if (failed > 0) throw new Error(`${failed} of the jobs failed`)
  return rate
}

/** Enqueues what nobody works on; what was enqueued goes before the next round. */
async function submissions(producer, forMs) {
  const begin = performance.now()
  const total = await enqueue(producer, 'parked', forMs)
  const rate = total / ((performance.now() - begin) / 1_000)
  await producer.clearParked()
  return rate
}

async function enqueue(producer, queue, forMs) {
  const end = performance.now() + forMs
  let total = 0
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (performance.now() < end) {
        await producer.enqueue(queue)
        total++
      }
    }),
  )
  return total
}
