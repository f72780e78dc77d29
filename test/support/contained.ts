/**
 * A process in the file system of an image, as a container's runtime would start it: the root read-only, a small /tmp in memory, the volumes
 * folders of its own, the image's user without any privilege and no way to gain one, the process the first of its own process ids.
 */
import { chown, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { eventually } from './conditions.ts'
import type { Teardown } from './folders.ts'
import type { Image } from './image.ts'
import { type Exit, runProcess, startProcess, type TestProcess } from './processes.ts'
import { childrenOf } from './restarts.ts'
import { endWithUs } from './survivors.ts'

export interface ContainedOptions {
  /** For the volumes; must be there. */
  readonly folder: string
  readonly env: Readonly<Record<string, string>>
}

export class Contained {
  readonly process: TestProcess
  readonly #image: Image
  readonly #env: Readonly<Record<string, string>>

  private constructor(process: TestProcess, image: Image, env: Readonly<Record<string, string>>) {
    this.process = process
    this.#image = image
    this.#env = env
  }

  /** Starts what the image starts by itself. */
  static async start(t: Teardown, image: Image, { folder, env }: ContainedOptions): Promise<Contained> {
    const [uid = 0, gid = 0] = image.user.split(':').map(Number)
    const mounts = [
      'mount --bind "$root" "$root"',
      'mount -o remount,bind,ro "$root"',
      'mount -t tmpfs -o size=64m,mode=1777,nosuid,nodev tmpfs "$root/tmp"',
      'mount -t proc proc "$root/proc"',
      'mount --rbind /dev "$root/dev"',
    ]
    for (const [index, volume] of image.volumes.entries()) {
      const path = join(folder, `volume-${index}`)
      await mkdir(path)
      await chown(path, uid, gid)
      mounts.push(`mount --bind '${path}' "$root${volume}"`)
    }
    const script = `set -e; root=$1; shift; ${mounts.join('; ')}; exec "$@"`
    const command = asUser(image, env, [...image.entrypoint, ...image.command])
    const args = ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', script, 'start', image.root, ...command]
    const started = startProcess(t, 'unshare', args)
    endWithUs(started.pid, folder)
    return new Contained(started, image, env)
  }

  /** As the machine outside knows it. */
  async pid(): Promise<number> {
    const [pid] = await eventually(
      () => childrenOf(this.process.pid),
      ({ length }) => length === 1,
      { what: 'the process in the image' },
    )
    return pid as number
  }

  /** Another command in the same place, as the same user. */
  async run(
    t: Teardown,
    command: readonly string[],
    more: Readonly<Record<string, string>> = {},
  ): Promise<Exit & { readonly out: string; readonly err: string }> {
    const within = ['--target', String(await this.pid()), '--mount', '--pid']
    return runProcess(t, 'nsenter', [...within, ...asUser(this.#image, { ...this.#env, ...more }, command)])
  }
}

function asUser(image: Image, env: Readonly<Record<string, string>>, command: readonly string[]): string[] {
  const [uid, gid] = image.user.split(':')
  const variables = Object.entries({ ...image.env, ...env }).map(([name, value]) => `${name}=${value}`)
  return [
    ...['chroot', image.root, 'setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--no-new-privs'],
    ...['--inh-caps=-all', '--bounding-set=-all', 'env', '-i', `--chdir=${image.workdir}`, ...variables, ...command],
  ]
}
