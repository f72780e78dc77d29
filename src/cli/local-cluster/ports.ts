/** Free ports in a row, as far as others leave them free. */
import { createServer } from 'node:net'

export async function freePorts(host: string, first: number, count: number): Promise<number[]> {
  const ports: number[] = []
  for (let port = first; ports.length < count; port++) {
    if (port > 65_535) throw new Error(`There are not ${count} free ports from ${first} on.`)
    if (await isFree(host, port)) ports.push(port)
  }
  return ports
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false)
      else reject(error)
    })
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
