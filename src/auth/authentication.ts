/** The configured method, ready to sign users in. */
import type { Clock, Random } from '../async/index.ts'
import type { Config } from '../config/index.ts'
import type { RateStore } from '../store/contract.ts'
import { type Authenticator, Believing, type Credentials, type SignedIn } from './authenticator.ts'
import { Basic } from './basic.ts'
import { SignIn, type SignInMethod } from './sign-in.ts'
import { Tokens } from './tokens.ts'
import { UsersFile, type UsersLog } from './users-file.ts'

export interface AuthenticationOptions {
  readonly auth: Config['auth']
  readonly rates: Pick<RateStore, 'take'>
  readonly clock: Clock
  readonly random: Random
  readonly log: UsersLog
}

export class Authentication implements Authenticator {
  readonly #users: UsersFile | null = null
  readonly #authenticator: Authenticator

  constructor({ auth, rates, clock, random, log }: AuthenticationOptions) {
    const { method, usersFile, jwt, failuresMax, failuresPerAddressMax } = auth
    const guarded = (by: SignInMethod) => new SignIn({ method: by, rates, failuresMax, failuresPerAddressMax, random })
    if (method === 'basic') {
      this.#users = new UsersFile(usersFile as string, log)
      this.#authenticator = guarded(new Basic({ users: this.#users, clock, random }))
    } else if (method === 'jwt') {
      const { issuer, audience } = jwt as { issuer: string; audience: string }
      this.#authenticator = guarded(
        new Tokens({ ...jwt, issuer, audience, jwksUrl: jwt.jwksUrl, adminClaim: jwt.adminClaim }),
      )
    } else this.#authenticator = new Believing()
  }

  /** Reads what it needs; rejects with what is wrong with that, since nobody could sign in. */
  async start(): Promise<void> {
    await this.#users?.open()
  }

  signIn(credentials: Credentials): Promise<SignedIn> {
    return this.#authenticator.signIn(credentials)
  }
}
