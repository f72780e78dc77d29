/**
 * Chance from a seed: the same seed gives the same draws on every machine. `fork` gives a source of its own for a purpose, so
 * that one part of a world may draw more often without changing what another part draws.
 */
import { V7Generator } from 'uuidv7'
import type { Random } from '../../src/async/index.ts'

/** A 32-bit hash of a text (FNV-1a with a final mix), to seed by. */
export function hashOf(text: string, start = 0x811c9dc5): number {
  let hash = start
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

export class SeededRandom implements Random {
  readonly seed: string
  /** State of Chris Doty-Humphrey's sfc32. */
  #a: number
  #b: number
  #c: number
  #count = 1
  #ordered: V7Generator | undefined

  constructor(seed: string) {
    this.seed = seed
    this.#a = hashOf(seed)
    this.#b = hashOf(seed, this.#a)
    this.#c = hashOf(seed, this.#b)
    for (let round = 0; round < 12; round++) this.uint32()
  }

  fork(purpose: string): SeededRandom {
    return new SeededRandom(`${this.seed}/${purpose}`)
  }

  uint32(): number {
    const sum = (this.#a + this.#b + this.#count) | 0
    this.#count = (this.#count + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** In [0, 1). */
  fraction(): number {
    return this.uint32() / 2 ** 32
  }

  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  /** In [from, to). */
  between(from: number, to: number): number {
    return from + this.fraction() * (to - from)
  }

  /** An integer in [0, below). */
  below(below: number): number {
    return Math.floor(this.fraction() * below)
  }

  /** One of them; throws on an empty list. */
  pick<T>(of: readonly T[]): T {
    if (of.length === 0) throw new RangeError('nothing to pick from')
    return of[this.below(of.length)] as T
  }

  uuid(): string {
    const hex = this.#hex() + this.#hex() + this.#hex() + this.#hex()
    const variant = '89ab'[this.below(4)]
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`
  }

  uuidOfTime(atMs: number): string {
    this.#ordered ??= new V7Generator({ nextUint32: () => this.uint32() })
    return this.#ordered.generateOrResetWithTs(Math.floor(atMs)).toString()
  }

  secret(bytes: number): string {
    return Buffer.from(Array.from({ length: bytes }, () => this.uint32() & 0xff)).toString('base64url')
  }

  #hex(): string {
    return this.uint32().toString(16).padStart(8, '0')
  }
}
