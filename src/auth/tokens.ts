/** `auth.method: jwt`: tokens of an OpenID Connect issuer, by `Authorization: Bearer` or where a protocol has its password. */
import type { JWTVerifyGetKey } from 'jose'
import { LensError } from '../domain/index.ts'
import type { Credentials, SignedIn } from './authenticator.ts'
import type { Claim, SignInMethod } from './sign-in.ts'

export interface TokenSettings {
  readonly issuer: string
  readonly audience: string
  /** Asked of the issuer unless set. */
  readonly jwksUrl: string | undefined
  readonly userClaim: string
  readonly adminClaim: string | undefined
  readonly adminValues: readonly string[]
  readonly algorithms: readonly string[]
  readonly clockToleranceMs: number
}

const tokenCharactersMax = 16_384
const issuerMs = 5_000
/** A key that is not known is asked for at once, but not for every token that somebody makes up. */
const keysCooldownMs = 10_000

export class Tokens implements SignInMethod {
  readonly #settings: TokenSettings
  #keys: Promise<JWTVerifyGetKey> | null = null

  constructor(settings: TokenSettings) {
    this.#settings = settings
  }

  claim({ authorization, password }: Credentials): Claim {
    const token = authorization === undefined ? password : /^bearer +(\S+) *$/i.exec(authorization)?.[1]
    if (token === undefined || token.length > tokenCharactersMax)
      throw new LensError('UNAUTHENTICATED', 'header authorization: expected Bearer and a token of the issuer')
    return { user: this.#claimedUser(token), secret: token }
  }

  async verify({ secret }: Claim): Promise<SignedIn> {
    const { issuer, audience, algorithms, clockToleranceMs, userClaim } = this.#settings
    const { jwtVerify, errors } = await import('jose')
    const keys = await this.#issuersKeys()
    const { payload } = await jwtVerify(secret, keys, {
      issuer,
      audience,
      algorithms: [...algorithms],
      clockTolerance: clockToleranceMs / 1000,
      requiredClaims: ['exp', userClaim],
    }).catch(error => {
      // The issuer did not answer, or not with keys: the token may be right.
      if (
        error instanceof errors.JWKSTimeout ||
        !(error instanceof errors.JOSEError) ||
        error.code === 'ERR_JOSE_GENERIC'
      )
        throw unreachable(error)
      throw new LensError('UNAUTHENTICATED', `The token is not accepted: ${reasonOf(error)}`)
    })
    const user = payload[userClaim]
    if (typeof user !== 'string' || user === '' || user.length > 255)
      throw new LensError('UNAUTHENTICATED', `The token is not accepted: expected a text as its claim ${userClaim}`)
    return { user, admin: this.#isAdmin(payload) }
  }

  #isAdmin(payload: Readonly<Record<string, unknown>>): boolean {
    const { adminClaim, adminValues } = this.#settings
    if (adminClaim === undefined) return false
    const value = payload[adminClaim]
    if (adminValues.length === 0) return value === true
    const values = Array.isArray(value) ? value : [value]
    return values.some(one => typeof one === 'string' && adminValues.includes(one))
  }

  /** Only to count its failures by: nothing is believed yet. */
  #claimedUser(token: string): string {
    try {
      const payload = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))
      return String(payload[this.#settings.userClaim]).slice(0, 255)
    } catch {
      return ''
    }
  }

  async #issuersKeys(): Promise<JWTVerifyGetKey> {
    this.#keys ??= this.#findKeys().catch(error => {
      this.#keys = null
      throw unreachable(error)
    })
    return this.#keys
  }

  async #findKeys(): Promise<JWTVerifyGetKey> {
    const { createRemoteJWKSet } = await import('jose')
    const url = this.#settings.jwksUrl ?? (await this.#publishedJwksUrl())
    return createRemoteJWKSet(new URL(url), { timeoutDuration: issuerMs, cooldownDuration: keysCooldownMs })
  }

  async #publishedJwksUrl(): Promise<string> {
    const { issuer } = this.#settings
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
    const answer = await fetch(url, { signal: AbortSignal.timeout(issuerMs), redirect: 'error' })
    if (!answer.ok) throw new Error(`${url} answered ${answer.status}`)
    const published = (await answer.json()) as { issuer?: unknown; jwks_uri?: unknown }
    if (published.issuer !== issuer) throw new Error(`${url} speaks of another issuer`)
    if (typeof published.jwks_uri !== 'string' || !URL.canParse(published.jwks_uri))
      throw new Error(`${url} names no jwks_uri`)
    return published.jwks_uri
  }
}

function unreachable(cause: unknown): LensError {
  return new LensError(
    'ISSUER_UNAVAILABLE',
    'The issuer of tokens does not answer as expected; the token may be right.',
    {
      retryAfterMs: 2_000,
      cause,
    },
  )
}

/** What is wrong with it, without what stands in it. */
function reasonOf(error: { readonly code?: string; readonly claim?: string }): string {
  if (error.code === 'ERR_JWT_EXPIRED') return 'it has expired'
  if (error.code === 'ERR_JWT_CLAIM_VALIDATION_FAILED') return `its claim ${error.claim} is not as expected`
  if (error.code === 'ERR_JOSE_ALG_NOT_ALLOWED') return 'its signature is of a kind that is not believed'
  return 'it is no token of the issuer'
}
