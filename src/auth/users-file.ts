/**
 * The users file: `name:hash` a line, blank lines and those that begin with `#` left out. It is read again when it has changed, so
 * that a new user or password counts from the next sign-in on; one that cannot be read, or has a fault, leaves what was known.
 */
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { type PasswordHash, parsePasswordHash } from './passwords.ts'

export interface UserEntry {
  readonly hash: PasswordHash
  /** As it stands in the file: changes with the password. */
  readonly text: string
}

/** Its message names the line and what was expected there, never what stood there. */
export class UsersFileFault extends Error {}

export function parseUsers(text: string): Map<string, UserEntry> {
  const users = new Map<string, UserEntry>()
  for (const [index, line] of text.split('\n').entries()) {
    const entry = line.trim()
    if (entry === '' || entry.startsWith('#')) continue
    const at = entry.indexOf(':')
    const [name, hashText] = [entry.slice(0, at).trim(), entry.slice(at + 1).trim()]
    const hash = parsePasswordHash(hashText)
    if (at <= 0 || !isUserName(name) || !hash)
      throw new UsersFileFault(`line ${index + 1}: expected a user's name, a colon, and $scrypt$ln=…,r=…,p=…$salt$hash`)
    if (users.has(name)) throw new UsersFileFault(`line ${index + 1}: the user ${name} stands there twice`)
    users.set(name, { hash, text: hashText })
  }
  return users
}

/** A colon ends a name in the file and in the header of basic authentication. */
export function isUserName(name: string): boolean {
  return /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}:#]{1,128}$/u.test(name) && name.trim() === name
}

export interface UsersLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export class UsersFile {
  readonly #path: string
  readonly #log: UsersLog
  #users: ReadonlyMap<string, UserEntry> = new Map()
  #seen = ''
  #reading: Promise<void> | null = null

  constructor(path: string, log: UsersLog) {
    this.#path = path
    this.#log = log
  }

  /** Reads it for the first time; rejects with what is wrong with it. */
  async open(): Promise<void> {
    try {
      this.#seen = await this.#state()
      this.#users = parseUsers(await readFile(this.#path, 'utf8'))
    } catch (error) {
      const { message, code } = error as NodeJS.ErrnoException
      const what = error instanceof UsersFileFault ? message : `cannot be read (${code})`
      throw new Error(`auth.usersFile: ${this.#path}: ${what}`, { cause: error })
    }
  }

  async find(name: string): Promise<UserEntry | undefined> {
    this.#reading ??= this.#readAgain().finally(() => {
      this.#reading = null
    })
    await this.#reading
    return this.#users.get(name)
  }

  async #readAgain(): Promise<void> {
    try {
      const state = await this.#state()
      if (state === this.#seen) return
      this.#seen = state
      this.#users = parseUsers(await readFile(this.#path, 'utf8'))
      this.#log.info({ file: this.#path, users: this.#users.size }, 'the users file was read again')
    } catch (error) {
      this.#log.warn({ err: error, file: this.#path }, 'the users file cannot be read again: what it said before holds')
    }
  }

  async #state(): Promise<string> {
    const { mtimeMs, ctimeMs, size, ino } = await stat(this.#path)
    return [mtimeMs, ctimeMs, size, ino].join(' ')
  }
}

/** Sets or removes (`hash` null) one user's line and leaves all others as they are. True: there was one before. */
export async function changeUser(path: string, name: string, hash: string | null): Promise<boolean> {
  const before = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const known = parseUsers(before).has(name)
  const isTheirs = (line: string) => line.trim().startsWith(`${name}:`)
  const lines = before.split('\n').filter((line, index, all) => !(line === '' && index === all.length - 1))
  const entry = hash === null ? [] : [`${name}:${hash}`]
  const after = known ? lines.flatMap(line => (isTheirs(line) ? entry : [line])) : [...lines, ...entry]
  // Whole or not at all, also for a node that reads it just now; for the owner's eyes.
  const mode = await stat(path).then(
    ({ mode }) => mode & 0o777,
    () => 0o600,
  )
  await writeFile(`${path}.new`, after.map(line => `${line}\n`).join(''), { mode })
  await rename(`${path}.new`, path)
  return known
}
