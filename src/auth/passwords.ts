/**
 * Passwords as the users file keeps them: scrypt, in the PHC form `$scrypt$ln=15,r=8,p=1$<salt>$<hash>` (base64 without padding),
 * which other tools write and read too.
 */
import { type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import type { Random } from '../async/index.ts'

const derive = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt)

/** 32 MiB and about 80 ms of one core each: what OWASP recommends for scrypt is 2^17, of which a busy node would do a few a second. */
const cost = { ln: 15, r: 8, p: 1 } as const
const saltBytes = 16
const hashBytes = 32
/** What a line of the file may ask of a node. */
const memoryMax = 256 * 2 ** 20

export interface PasswordHash {
  readonly options: ScryptOptions
  readonly salt: Buffer
  readonly hash: Buffer
}

export async function hashOfPassword(password: string, random: Pick<Random, 'secret'>): Promise<string> {
  const salt = Buffer.from(random.secret(saltBytes), 'base64url')
  const hash = await derive(password.normalize('NFKC'), salt, hashBytes, optionsOf(cost.ln, cost.r, cost.p))
  const text = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '')
  return `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${text(salt)}$${text(hash)}`
}

/** Null: not of the form, or asks for more memory than a node gives. */
export function parsePasswordHash(text: string): PasswordHash | null {
  const form = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,})=*\$([A-Za-z0-9+/]{22,})=*$/.exec(
    text,
  )
  if (!form) return null
  const [ln, r, p] = [form[1], form[2], form[3]].map(Number) as [number, number, number]
  const options = optionsOf(ln, r, p)
  if (ln < 1 || r < 1 || p < 1 || (options.maxmem as number) > memoryMax) return null
  return {
    options,
    salt: Buffer.from(form[4] as string, 'base64'),
    hash: Buffer.from(form[5] as string, 'base64'),
  }
}

export async function isPassword(password: string, { options, salt, hash }: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await derive(password.normalize('NFKC'), salt, hash.length, options), hash)
}

/** Takes as long as a real one to compare with: who is unknown is not told apart by time. */
export const nobodysHash: PasswordHash = {
  options: optionsOf(cost.ln, cost.r, cost.p),
  salt: Buffer.alloc(saltBytes),
  hash: Buffer.alloc(hashBytes),
}

function optionsOf(ln: number, r: number, p: number): ScryptOptions {
  const N = 2 ** ln
  // Node counts a little more than the 128 · N · r bytes of the definition.
  return { N, r, p, maxmem: 128 * N * r + 128 * r * p + 2 ** 20 }
}
