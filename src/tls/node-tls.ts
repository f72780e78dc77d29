/** All certificates of a node, by what they are for, as its configuration names them. */
import { type CredentialFiles, type Credentials, HeldCredentials } from './credentials.ts'
import type { TlsMode } from './database.ts'
import { CredentialsReload, type ReloadOptions, type WatchedCredentials } from './reload.ts'

/** Who must show a certificate when it connects. */
export type ClientAuthentication = 'none' | 'required'

export interface NodeTlsConfig {
  readonly tls: CredentialFiles & {
    readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
    readonly clientAuthentication: ClientAuthentication
    readonly reloadMs: number
    readonly peers: CredentialFiles & { readonly clientAuthentication: ClientAuthentication }
  }
  readonly store: { readonly tls: CredentialFiles & { readonly mode: TlsMode } }
}

/** What the listener is made of; see `ListenerTls.context`. */
export interface ListenerTls {
  /** For the server, and again for `setSecureContext` when they were replaced. */
  context(): Credentials & { readonly minVersion: 'TLSv1.2' | 'TLSv1.3' }
  readonly clients: ClientAuthentication
  readonly peers: ClientAuthentication
  /** Fingerprints of the authorities that vouch for clients and for peers; null where Node's own do. */
  authorities(): { readonly clients: ReadonlySet<string> | null; readonly peers: ReadonlySet<string> | null }
}

export class NodeTls {
  readonly #config: NodeTlsConfig
  readonly #listener: HeldCredentials | null
  readonly #peers: HeldCredentials
  readonly #store: HeldCredentials | null
  #reload: CredentialsReload | undefined

  /** Reads all files. Throws a `CredentialsFault`. */
  constructor(config: NodeTlsConfig) {
    const { tls, store } = config
    this.#config = config
    this.#listener = tls.certificateFile === undefined ? null : new HeldCredentials(filesOf(tls))
    this.#peers = new HeldCredentials({ ...filesOf(tls.peers), caFile: tls.peers.caFile ?? tls.caFile })
    this.#store = store.tls.mode === 'off' ? null : new HeldCredentials(filesOf(store.tls))
  }

  /** Null where the port speaks plain HTTP. */
  get listener(): ListenerTls | null {
    const held = this.#listener
    if (!held) return null
    const { minVersion, clientAuthentication, peers } = this.#config.tls
    return {
      context: () => ({ ...held.current, ca: together(held.current.ca, this.#peers.current.ca), minVersion }),
      clients: clientAuthentication,
      peers: peers.clientAuthentication,
      authorities: () => ({ clients: held.authorities, peers: this.#peers.authorities }),
    }
  }

  /** For a connection to a peer that is made now. */
  readonly towardsPeers = (): Credentials => this.#peers.current

  /** For a connection to the database that is made now. */
  readonly towardsStore = (): Credentials => this.#store?.current ?? {}

  /** Begins to look for replaced files. `onListener`: the listener's context is another one now. */
  async start(
    options: Omit<ReloadOptions, 'watched' | 'reloadMs'> & { readonly onListener: () => void },
  ): Promise<void> {
    const { onListener, ...rest } = options
    const watched: WatchedCredentials[] = []
    // Authorities of peers are part of the listener's context.
    if (this.#usesPeers()) watched.push({ use: 'peers', held: this.#peers, onTaken: onListener })
    if (this.#listener) watched.push({ use: 'listener', held: this.#listener, onTaken: onListener })
    if (this.#store) watched.push({ use: 'store', held: this.#store })
    this.#reload = new CredentialsReload({ ...rest, watched, reloadMs: this.#config.tls.reloadMs })
    await this.#reload.start()
  }

  async stop(): Promise<void> {
    await this.#reload?.stop()
  }

  /** Looks at the files now. */
  look(): void {
    this.#reload?.look()
  }

  #usesPeers(): boolean {
    const { certificateFile, caFile } = this.#peers.files
    return certificateFile !== undefined || caFile !== undefined
  }
}

function filesOf({ certificateFile, keyFile, caFile }: CredentialFiles): CredentialFiles {
  return { certificateFile, keyFile, caFile }
}

function together(one: string | undefined, other: string | undefined): string | undefined {
  return one === undefined || other === undefined || one === other ? (one ?? other) : `${one}\n${other}`
}
