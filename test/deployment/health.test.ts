/** The image's health check, against what a node may answer, in clear and over TLS. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import { temporaryFolder } from '../support/folders.ts'
import { requiredProgram } from '../support/packages.ts'
import { runProcess } from '../support/processes.ts'

const program = new URL('../../src/healthcheck.ts', import.meta.url).pathname

for (const kind of ['http', 'https'] as const)
  test(`it says whether a node answers over ${kind}`, async t => {
    let status = 200
    const answer: RequestListener = (request, response) => {
      response.writeHead(request.url === '/healthz' ? status : 404).end()
    }
    const folder = await temporaryFolder(t, 'health')
    const file = (name: string) => join(folder, name)
    if (kind === 'https') {
      const openssl = await requiredProgram(['openssl'], 'openssl')
      const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=x']
      const { code, err } = await runProcess(t, openssl, [...made, '-keyout', file('key'), '-out', file('certificate')])
      t.is(code, 0, err)
    }
    const server =
      kind === 'http'
        ? createServer(answer)
        : createSecureServer({ key: readFileSync(file('key')), cert: readFileSync(file('certificate')) }, answer)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const { port } = server.address() as AddressInfo
    const check = () =>
      runProcess(t, process.execPath, [program], {
        env: { ...process.env, LENS_HOST: '0.0.0.0', LENS_PORT: String(port) },
      })
    t.is((await check()).code, 0)
    status = 500
    t.is((await check()).code, 1)
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
    t.is((await check()).code, 1)
  })
