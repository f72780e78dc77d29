/** A bare Fastify server with one point select per request: a process of its own, as the floor of a status request. */
import Fastify from 'fastify'
import { Floors, idOf } from './floors.ts'

const [, , url, port] = process.argv
const floors = new Floors(String(url), 0)
const app = Fastify()
app.get('/hello', async () => ({ hello: 'world' }))
app.get<{ Params: { id: string } }>('/row/:id', request => floors.pointSelect(idOf(Number(request.params.id))))
app.post('/echo', async request => ({ received: typeof request.body }))
await app.listen({ host: '127.0.0.1', port: Number(port) })
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
