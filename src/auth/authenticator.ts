/** Who opens a session: each method of `auth.method` finds a user behind what a client sends, or refuses. */

export interface Credentials {
  /** The user that the request names. */
  readonly user: string | undefined
  /** The `Authorization` header. */
  readonly authorization: string | undefined
  /** Where a protocol has a field of its own for it. */
  readonly password?: string | undefined
  /** Where the request comes from: of the client, as far as `node.trustedProxies` tell. */
  readonly address: string
}

export interface SignedIn {
  readonly user: string
  /** By the word of who vouches for the user; `auth.admins` is somebody else's matter. */
  readonly admin: boolean
}

export interface Authenticator {
  /** Rejects with UNAUTHENTICATED, FORBIDDEN or RATE_LIMITED. */
  signIn(credentials: Credentials): Promise<SignedIn>
}

/** Development and trusted networks: whoever the client names. */
export class Believing implements Authenticator {
  async signIn({ user }: Credentials): Promise<SignedIn> {
    return { user: user ?? 'anonymous', admin: false }
  }
}
