/**
 * Asks Spin one thing: generates the verifier of a model, compiles it, runs it over the whole state space, and reads what it says.
 * A search that was cut short (by its depth, by memory, by time) is no answer, whatever it found nothing wrong with.
 */
import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { requiredProgram } from '../support/packages.ts'
import type { Check } from './catalogue.ts'

export interface Answer {
  /** All states were visited and nothing is wrong; a property is; or the search did not end. */
  readonly kind: 'holds' | 'refuted' | 'incomplete'
  /** The property that was refuted (`it_ends` for a cycle without end), or why there is no answer. */
  readonly what: string
  readonly states: number
  readonly transitions: number
  readonly depth: number
  /** Taken by the search, in megabytes. */
  readonly memoryMb: number
  readonly seconds: number
}

export interface Tools {
  readonly spin: string
  readonly gcc: string
}

/** Spin runs a C compiler over the model before it reads it, and again over the verifier that it writes. */
export async function requiredTools(): Promise<Tools> {
  return { gcc: await requiredProgram(['gcc'], 'build-essential'), spin: await requiredProgram(['spin'], 'spin') }
}

const memoryMaxMb = 2048
const depthMax = 500_000
const searchMaxMs = 30 * 60_000

interface Ended {
  readonly output: string
  readonly failed: boolean
}

function execute(program: string, args: readonly string[], cwd: string): Promise<Ended> {
  return new Promise(resolve => {
    execFile(program, args, { cwd, maxBuffer: 64 * 1024 * 1024, timeout: searchMaxMs }, (error, stdout, stderr) =>
      resolve({ output: stdout + stderr, failed: error !== null }),
    )
  })
}

async function done(program: string, args: readonly string[], cwd: string): Promise<void> {
  const { output, failed } = await execute(program, args, cwd)
  if (failed) throw new Error(`${program} ${args.join(' ')} failed:\n${output}`)
}

/** `thorough`: the search will be long. Rejects when the model cannot be compiled. */
export async function ask(check: Check, { spin, gcc }: Tools, thorough: boolean): Promise<Answer> {
  const { model, bounds, without, liveness = false } = check
  const folder = await mkdtemp(join(tmpdir(), 'lens-model-'))
  try {
    const file = `${model}.pml`
    await copyFile(fileURLToPath(new URL(file, import.meta.url)), join(folder, file))
    const defines = [
      ...Object.entries(bounds).map(([name, value]) => `-D${name}=${value}`),
      ...(liveness ? ['-DLIVENESS'] : []),
      ...(without === null ? [] : [`-D${without}`]),
    ]
    await done(spin, ['-a', ...defines, file], folder)
    // Reduction by partial order does not go with processes that stop under a condition, as crashed ones do.
    const search = liveness ? ['-DNFAIR=3', '-DNOREDUCE'] : ['-DSAFETY']
    const options = [`-DMEMLIM=${memoryMaxMb}`, '-DCOLLAPSE', '-DVECTORSZ=2048', ...search]
    // What is refuted is refuted soon: compiling well takes longer than searching badly.
    const optimised = without !== null ? '-O0' : thorough ? '-O2' : '-O1'
    await done(gcc, [optimised, '-w', ...options, '-o', 'pan', 'pan.c'], folder)
    const startedAt = performance.now()
    const run = ['-n', `-m${depthMax}`, ...(liveness ? ['-a', '-f'] : [])]
    const { output } = await execute(join(folder, 'pan'), run, folder)
    return { ...read(output), seconds: (performance.now() - startedAt) / 1000 }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** What the verifier printed. */
export function read(output: string): Omit<Answer, 'seconds'> {
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? Number.NaN)
  const numbers = {
    states: number(/^\s*([\d.e+]+) states, stored/m),
    transitions: number(/^\s*([\d.e+]+) transitions/m),
    depth: number(/depth reached (\d+)/),
    memoryMb: number(/([\d.]+)\s+total actual memory usage/),
  }
  const violated = /assertion violated (.+) \(at depth/.exec(output)
  if (violated) return { kind: 'refuted', what: violated[1] as string, ...numbers }
  if (/acceptance cycle \(at depth/.test(output)) return { kind: 'refuted', what: 'it_ends', ...numbers }
  const cut =
    /max search depth too small|out of memory|reached -DMEMLIM|memory limit|Search not completed|VECTORSZ/i.exec(output)
  if (cut) return { kind: 'incomplete', what: cut[0], ...numbers }
  if (/errors: 0\b/.test(output) && /Full statespace search/.test(output) && numbers.states > 0)
    return { kind: 'holds', what: '', ...numbers }
  return { kind: 'incomplete', what: output.slice(-200).trim() || 'the verifier said nothing', ...numbers }
}

/** Whether Spin's answer is the one that the check demands. */
export function asExpected({ refutes }: Check, { kind, what }: Answer): boolean {
  return refutes === null ? kind === 'holds' : kind === 'refuted' && what === refutes
}
