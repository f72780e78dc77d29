/**
 * Whether the node on this machine lives: exit code 0 when it does. For the image's health check, which runs every few seconds, so
 * it loads nothing: it takes the port from LENS_PORT, and asks in the clear or by TLS, whichever the port speaks. Who is
 * there needs no proof on one's own machine, and the certificate names another address.
 */
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'

const timeoutMs = 2_500
const host = process.env.LENS_HOST
const to = {
  host: host === undefined || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host,
  port: process.env.LENS_PORT || 9999,
  path: '/healthz',
  timeout: timeoutMs,
  rejectUnauthorized: false,
}

function lives(send: typeof requestHttp | typeof requestHttps): Promise<boolean> {
  return new Promise(resolve => {
    const request = send(to, response => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(false))
    request.end()
  })
}

process.exitCode = (await lives(requestHttp)) || (await lives(requestHttps)) ? 0 : 1
