/** The processes of clients that work on a scene until they are told to end. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { devNull } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Teardown } from '../support/folders.ts'
import type { ClientSettings } from './clients/settings.ts'
import type { Scene } from './scene.ts'

export interface RunningClientsOptions {
  readonly seed: string
  readonly processes: number
  /** In all. */
  readonly workers: number
  readonly users: readonly string[]
  /** Where they write down what they see; null: nowhere. */
  readonly folder: string | null
}

export interface RunningClients {
  readonly files: readonly string[]
  /** Why one of them ended before its time. */
  failed(): string | null
  /** Resolves when all that they had begun has ended; gives what was wrong. */
  end(): Promise<string | null>
}

const entry = new URL('clients/main.ts', import.meta.url).pathname

export function startClients(
  { seed, processes, workers, users, folder }: RunningClientsOptions,
  scene: Pick<Scene, 'names' | 'node'>,
  stage: Teardown,
): RunningClients {
  let failure: string | null = null
  let ending = false
  const files: string[] = []
  const children = Array.from({ length: processes }, (_, index) => {
    const name = `c${index + 1}`
    const file = folder === null ? devNull : join(folder, `${name}.jsonl`)
    if (folder !== null) files.push(file)
    const nodes = scene.names.map(node => ({ name: node, url: scene.node(node).url }))
    const settings: ClientSettings = {
      name,
      seed,
      file,
      nodes,
      users,
      workers: Math.ceil(workers / processes),
      pauseMs: 250,
    }
    const child = fork(entry, [JSON.stringify(settings)], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] })
    let words = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      words = (words + text).slice(-4000)
    })
    const exited = once(child, 'exit').then(([code, signal]) => {
      if (!ending || code !== 0) failure ??= `the clients ${name} ended with ${code ?? signal}: ${words}`
    })
    stage.teardown(() => child.kill('SIGKILL'))
    return { child, exited }
  })
  return {
    files,
    failed: () => failure,
    /** Resolves when all that they had begun has ended; gives what was wrong. */
    async end(): Promise<string | null> {
      ending = true
      for (const { child } of children) if (child.connected) child.send('stop')
      const all = Promise.all(children.map(({ exited }) => exited))
      const late = setTimeout(180_000, 'late', { ref: false })
      if ((await Promise.race([all, late])) === 'late') failure ??= 'the clients do not come to an end'
      return failure
    },
  }
}
