/** The processes in which a node's engine runs, as the system knows them: to be killed, and to be found gone. */
import { readdirSync, readFileSync } from 'node:fs'

/** Ids of the DuckDB processes that are children of this process; those that only wait to be reaped do not count. */
export function engineProcessesOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(child => parentOf(child) === pid && isEngine(child))
}

/** Whether the process runs: neither gone nor a zombie. */
export function runs(pid: number): boolean {
  return parentOf(pid) !== null && isEngine(pid)
}

/** Time that it has had on processors, in and out of the kernel, in hundredths of a second; 0 when it is gone. */
export function processorTicksOf(pid: number): number {
  // After the name, which may hold anything: the third field of the line and what follows.
  const fields = read(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, '')
    .split(' ')
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
}

/** Null when there is no such process, or only what is left of one. */
function parentOf(pid: number): number | null {
  // After the name, which may hold anything: state, then parent.
  const [state, parent] = read(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, '')
    .split(' ')
  return parent === undefined || state === 'Z' || state === 'X' ? null : Number(parent)
}

function isEngine(pid: number): boolean {
  return /\/engines\/duckdb\/child\./.test(read(`/proc/${pid}/cmdline`))
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
