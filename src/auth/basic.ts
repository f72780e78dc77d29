/** `auth.method: basic`: user and password of the users file, by the header of RFC 7617 or a protocol's own fields. */
import { createHmac } from 'node:crypto'
import type { Clock, Random } from '../async/index.ts'
import { LensError } from '../domain/index.ts'
import type { Credentials, SignedIn } from './authenticator.ts'
import { isPassword, nobodysHash } from './passwords.ts'
import type { Claim, SignInMethod } from './sign-in.ts'
import type { UserEntry, UsersFile } from './users-file.ts'

export interface BasicOptions {
  readonly users: Pick<UsersFile, 'find'>
  readonly clock: Clock
  readonly random: Random
}

/** Each takes a core and 32 MiB for a moment. */
const atOnce = 2
const waitingMax = 200
const rememberedMs = 60_000
const rememberedMax = 10_000

export class Basic implements SignInMethod {
  readonly #options: BasicOptions
  readonly #key: string
  /** What was right a moment ago, and of which line of the file: not computed again for each session. */
  readonly #right = new Map<string, number>()
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(options: BasicOptions) {
    this.#options = options
    this.#key = options.random.secret(32)
  }

  claim({ authorization, user, password }: Credentials): Claim {
    if (authorization === undefined && user !== undefined && password !== undefined) return { user, secret: password }
    const encoded = /^basic +([A-Za-z0-9+/]+=*) *$/i.exec(authorization ?? '')?.[1]
    const text = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8')
    const at = text.indexOf(':')
    if (at <= 0)
      throw new LensError('UNAUTHENTICATED', 'header authorization: expected Basic with a user’s name and password')
    return { user: text.slice(0, at), secret: text.slice(at + 1) }
  }

  async verify({ user, secret }: Claim): Promise<SignedIn> {
    const entry = await this.#options.users.find(user)
    if (!(await this.#isRight(user, secret, entry)))
      throw new LensError('UNAUTHENTICATED', 'The user is unknown, or the password is wrong.')
    return { user, admin: false }
  }

  async #isRight(user: string, password: string, entry: UserEntry | undefined): Promise<boolean> {
    const { clock } = this.#options
    const guess = JSON.stringify([user, password, entry?.text])
    const remembered = createHmac('sha256', this.#key).update(guess).digest('base64')
    if ((this.#right.get(remembered) ?? 0) > clock.monotonic()) return true
    await this.#turn()
    try {
      const right = (await isPassword(password, entry?.hash ?? nobodysHash)) && entry !== undefined
      if (right) this.#remember(remembered)
      return right
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running--
    }
  }

  #remember(guess: string): void {
    if (this.#right.size >= rememberedMax) this.#right.clear()
    this.#right.set(guess, this.#options.clock.monotonic() + rememberedMs)
  }

  async #turn(): Promise<void> {
    if (this.#waiting.length >= waitingMax)
      throw new LensError('RATE_LIMITED', 'Too many sign in at this node just now.', { retryAfterMs: 1_000 })
    // Whoever ends passes its place on: nobody who comes in between takes it.
    if (this.#running >= atOnce) await new Promise<void>(resolve => this.#waiting.push(resolve))
    else this.#running++
  }
}
