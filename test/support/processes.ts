/** Processes of tests: started, listened to, killed. Each is ended with its test, whatever the test did. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import type { Teardown } from './folders.ts'

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class TestProcess {
  readonly child: ChildProcess
  /** Resolves when it has ended and its output is complete. */
  readonly exited: Promise<Exit>
  readonly #leadsGroup: boolean
  #out = ''
  #err = ''
  #ended: Exit | undefined
  readonly #watchers = new Set<() => void>()

  constructor(child: ChildProcess, leadsGroup = false) {
    this.child = child
    this.#leadsGroup = leadsGroup
    const wake = () => {
      for (const watcher of [...this.#watchers]) watcher()
    }
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#out += text
      wake()
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#err += text
      wake()
    })
    this.exited = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => {
        this.#ended = { code, signal }
        resolve(this.#ended)
        wake()
      })
    })
    // Whoever cares awaits it; a process that nobody awaits may fail to start without ending the test run.
    this.exited.catch(wake)
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('the process did not start')
    return this.child.pid
  }

  get ended(): Exit | undefined {
    return this.#ended
  }

  /** All that it wrote so far. */
  get out(): string {
    return this.#out
  }

  get err(): string {
    return this.#err
  }

  /** Resolves with the first match in its output (either stream). Rejects when it ends without one. */
  output(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(this.#out) ?? pattern.exec(this.#err)
        if (!match && !this.#ended) return
        this.#watchers.delete(look)
        if (match) resolve(match)
        else reject(new Error(`ended (${JSON.stringify(this.#ended)}) without ${pattern}:\n${this.#out}\n${this.#err}`))
      }
      this.#watchers.add(look)
      look()
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /**
   * Ends it at once and waits until it is gone; what leads a group of its own (`detached`) takes its children along. Safe twice, also
   * for one that is stopped by SIGSTOP.
   */
  async kill(): Promise<void> {
    if (this.#ended || this.child.pid === undefined) return
    if (this.#leadsGroup) process.kill(-this.child.pid, 'SIGKILL')
    else this.child.kill('SIGKILL')
    await this.exited
  }
}

/** Starts a process that is killed when the test ends. */
export function startProcess(
  t: Teardown,
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): TestProcess {
  const started = new TestProcess(
    spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options }),
    options.detached,
  )
  t.teardown(() => started.kill())
  return started
}

/** Runs a process to its end. */
export async function runProcess(
  t: Teardown,
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<Exit & { readonly out: string; readonly err: string }> {
  const started = startProcess(t, command, args, options)
  const exit = await started.exited
  return { ...exit, out: started.out, err: started.err }
}

/** Starts this project's `src/main.ts` under this very Node. Nothing of the outer environment's configuration reaches it. */
export function startLens(t: Teardown, args: readonly string[], options: SpawnOptions = {}): TestProcess {
  const entry = new URL('../../src/main.ts', import.meta.url).pathname
  const env = { ...withoutLens(process.env), ...options.env }
  return startProcess(t, process.execPath, ['--disable-warning=ExperimentalWarning', entry, ...args], {
    ...options,
    env,
  })
}

/** The environment without the variables that configure a node. */
export function withoutLens(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('LENS_')))
}

/** Whether there is a process with this id; one that has ended but was not reaped by its parent still counts. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
