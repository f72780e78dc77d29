/**
 * Certificates, keys and authorities as they lie in files: read, judged as a whole, and held. What is on disk at any one
 * moment may be half of a change (the new certificate beside the old key), so a set is taken only when it fits together; until
 * then the one before it stays.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'

/** Absolute paths of PEM files. Certificate and key come together; without `caFile` Node's own authorities count. */
export interface CredentialFiles {
  readonly certificateFile?: string
  readonly keyFile?: string
  readonly caFile?: string
}

/** What `node:tls` is given, in its words; texts are PEM. */
export interface Credentials {
  readonly cert?: string
  readonly key?: string
  readonly ca?: string
}

/** One of the files is not what it should be. The message holds the file's name, never its content. */
export class CredentialsFault extends Error {
  readonly which: keyof CredentialFiles

  constructor(which: keyof CredentialFiles, message: string) {
    super(message)
    this.name = 'CredentialsFault'
    this.which = which
  }
}

/** A set that fits together. */
export interface Judged {
  readonly credentials: Credentials
  /** Unix time in milliseconds at which the first certificate of the chain ends; null without one. */
  readonly endsAtMs: number | null
  /** Fingerprints of the authorities; null where Node's own count. */
  readonly authorities: ReadonlySet<string> | null
}

/** Reads and judges a set. Throws a `CredentialsFault`. */
export function readCredentials(files: CredentialFiles): Judged {
  return judged(files, textsOf(files))
}

function textsOf({ certificateFile, keyFile, caFile }: CredentialFiles): Credentials {
  return {
    cert: textOf('certificateFile', certificateFile),
    key: textOf('keyFile', keyFile),
    ca: textOf('caFile', caFile),
  }
}

function judged({ certificateFile, keyFile, caFile }: CredentialFiles, credentials: Credentials): Judged {
  const { cert, key, ca } = credentials
  const known = ca === undefined ? null : certificatesIn('caFile', caFile as string, ca)
  const authorities = known && new Set(known.map(({ fingerprint256 }) => fingerprint256))
  if (cert === undefined && key === undefined) return { credentials, endsAtMs: null, authorities }
  if (key === undefined) throw new CredentialsFault('keyFile', 'required beside certificateFile')
  if (cert === undefined) throw new CredentialsFault('certificateFile', 'required beside keyFile')
  const chain = certificatesIn('certificateFile', certificateFile as string, cert)
  if (!chain[0]?.checkPrivateKey(privateKeyIn(keyFile as string, key)))
    throw new CredentialsFault('keyFile', `${keyFile} is not the key of the first certificate in ${certificateFile}`)
  try {
    // What OpenSSL refuses for other reasons, such as too short a key.
    createSecureContext(credentials)
  } catch (error) {
    throw new CredentialsFault('certificateFile', `${certificateFile} cannot be used: ${(error as Error).message}`)
  }
  const endsAtMs = Math.min(...chain.map(certificate => certificate.validToDate.getTime()))
  return { credentials, endsAtMs, authorities }
}

function textOf(which: keyof CredentialFiles, file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new CredentialsFault(which, `expected a file that can be read: ${(error as Error).message}`)
  }
}

/** All of them or none: a file that is being written ends in the middle of one, and OpenSSL would take what is there. */
function certificatesIn(which: keyof CredentialFiles, file: string, text: string): X509Certificate[] {
  const blocks = text.split(/(?=-----BEGIN )/).filter(block => block.startsWith('-----BEGIN '))
  try {
    if (blocks.length === 0) throw new Error('there is none')
    return blocks.map(block => new X509Certificate(block))
  } catch (error) {
    throw new CredentialsFault(which, `expected certificates (PEM) in ${file}: ${(error as Error).message}`)
  }
}

function privateKeyIn(file: string, text: string) {
  try {
    return createPrivateKey(text)
  } catch (error) {
    throw new CredentialsFault(
      'keyFile',
      `expected a private key without a password (PEM) in ${file}: ${(error as Error).message}`,
    )
  }
}

/** A set that is read again when asked to. */
export class HeldCredentials {
  readonly files: CredentialFiles
  #taken: Judged
  /** What was wrong at the last attempt, so that each fault is told once. */
  #fault: string | null = null

  /** Throws a `CredentialsFault`. */
  constructor(files: CredentialFiles) {
    this.files = files
    this.#taken = readCredentials(files)
  }

  /** The same object for as long as the set is. */
  get current(): Credentials {
    return this.#taken.credentials
  }

  get endsAtMs(): number | null {
    return this.#taken.endsAtMs
  }

  get authorities(): ReadonlySet<string> | null {
    return this.#taken.authorities
  }

  /**
   * `kept`: on disk is what was there before. `taken`: it was another set, and is the current one now. Throws, once for each
   * fault, when what is there cannot be taken: the current set stays.
   */
  renew(): 'kept' | 'taken' {
    try {
      const texts = textsOf(this.files)
      const isSame = same(texts, this.current)
      // Only what has changed is worth the judgement: this is asked every few seconds.
      if (!isSame) this.#taken = judged(this.files, texts)
      this.#fault = null
      return isSame ? 'kept' : 'taken'
    } catch (error) {
      const { message } = error as Error
      if (message === this.#fault) return 'kept'
      this.#fault = message
      throw error
    }
  }
}

function same(one: Credentials, other: Credentials): boolean {
  return one.cert === other.cert && one.key === other.key && one.ca === other.ca
}
