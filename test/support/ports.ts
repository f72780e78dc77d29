/**
 * Ports that stay ours. What listens by itself takes port 0; a server whose port must be known before it starts gets one below
 * the ephemeral range, where no outgoing connection of a parallel test can take it in between. Nor can another test process: each
 * port that was given out is noted in a file, since a node takes seconds to begin to listen on it.
 */
import { mkdirSync, readFileSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'

const first = 20_000
const last = 32_000
const folder = join(tmpdir(), `lens-ha-ports-${userInfo().uid}`)
const taken = new Set<number>()

/** A port on 127.0.0.1 that nobody listens on and that no living test process has been given. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + Math.floor(Math.random() * (last - first))
    if (taken.has(port) || !reserve(port)) continue
    const probe = await listening(port)
    if (!probe) continue
    await new Promise(resolve => probe.close(resolve))
    return port
  }
}

function listening(port: number): Promise<Server | null> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(null))
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}

/** Until this process ends. */
function reserve(port: number): boolean {
  if (taken.size === 0) process.once('exit', giveBack)
  taken.add(port)
  const file = join(folder, String(port))
  try {
    mkdirSync(folder, { recursive: true })
    writeFileSync(file, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    taken.delete(port)
    const { code } = error as NodeJS.ErrnoException
    // ENOENT: another process has just removed the folder, which was empty.
    if (code !== 'EEXIST' && code !== 'ENOENT') throw error
    // Left by a process that was killed: for the next who asks.
    if (!isHeld(file)) attempt(() => unlinkSync(file))
    return false
  }
}

function isHeld(file: string): boolean {
  try {
    const pid = Number(readFileSync(file, 'utf8'))
    // Empty: its holder is about to write its id.
    if (pid > 0) process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function giveBack(): void {
  for (const port of taken) attempt(() => unlinkSync(join(folder, String(port))))
  // Stays while others have ports in it.
  attempt(() => rmdirSync(folder))
}

function attempt(work: () => void): void {
  try {
    work()
  } catch {
    // Another process was first, or is not done yet.
  }
}
