/** An OpenID Connect issuer as a node needs it: its configuration and its keys over HTTP, and tokens signed with them. */
import { createServer, type Server } from 'node:http'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { freePort } from './ports.ts'

interface Key {
  readonly id: string
  readonly algorithm: string
  readonly privateKey: CryptoKey
  readonly publicJwk: object
}

export class Issuer {
  readonly port: number
  /** How often the keys were asked for. */
  keysAsked = 0
  #keys: Key[] = []
  #server: Server | undefined

  private constructor(port: number) {
    this.port = port
  }

  static async start(): Promise<Issuer> {
    const issuer = new Issuer(await freePort())
    await issuer.rotate()
    await issuer.resume()
    return issuer
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Signs with a new key from now on; the ones before are published no more. */
  async rotate(algorithm = 'ES256'): Promise<void> {
    const { publicKey, privateKey } = await generateKeyPair(algorithm)
    const id = `key ${algorithm} ${Math.random()}`
    this.#keys = [
      { id, algorithm, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid: id, alg: algorithm } },
    ]
  }

  async resume(): Promise<void> {
    const server = createServer((request, response) => {
      response.setHeader('content-type', 'application/json')
      if (request.url === '/.well-known/openid-configuration')
        response.end(JSON.stringify({ issuer: this.url, jwks_uri: `${this.url}/keys` }))
      else if (request.url === '/keys') {
        this.keysAsked++
        response.end(JSON.stringify({ keys: this.#keys.map(({ publicJwk }) => publicJwk) }))
      } else response.writeHead(404).end()
    })
    this.#server = server
    await new Promise<void>(resolve => server.listen(this.port, '127.0.0.1', resolve))
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    server?.closeAllConnections()
    if (server) await new Promise(resolve => server.close(resolve))
  }

  /** A token that is right unless `claims` and `header` make it wrong. */
  async token(user: string, claims: JWTPayload = {}, header: { kid?: string } = {}): Promise<string> {
    const [key] = this.#keys as [Key]
    const now = Math.floor(Date.now() / 1000)
    const payload = { iss: this.url, aud: 'lens', sub: user, iat: now, exp: now + 300, ...claims }
    return new SignJWT(payload).setProtectedHeader({ alg: key.algorithm, kid: key.id, ...header }).sign(key.privateKey)
  }

  get publicJwk(): object {
    return (this.#keys[0] as Key).publicJwk
  }
}
