/**
 * Holds a process and all that it starts to a share of one core, by a control group of its own: the first version of them with a
 * quota, or the second with `cpu.max`. Needs root, and a hierarchy that has the processor's controller.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Teardown } from '../support/folders.ts'

const periodUs = 100_000
const rootOfV1 = '/sys/fs/cgroup/cpu'
const rootOfV2 = '/sys/fs/cgroup'

export interface Share {
  /** What a command begins with so that it and its children are held. */
  readonly within: readonly string[]
  /** By what it is held, in words. */
  readonly means: string
}

/** Null where no control group can be made. The group goes with the test, after the processes in it. */
export function shareOfCore(t: Teardown, name: string, share: number): Share | null {
  const quotaUs = Math.round(periodUs * share)
  const v1 = existsSync(join(rootOfV1, 'cpu.cfs_quota_us'))
  const root = v1 ? rootOfV1 : rootOfV2
  const folder = join(root, `lens-ha-${process.pid}-${name}`)
  try {
    if (!v1 && !readFileSync(join(root, 'cgroup.subtree_control'), 'utf8').includes('cpu'))
      writeFileSync(join(root, 'cgroup.subtree_control'), '+cpu')
    mkdirSync(folder)
    if (v1) {
      writeFileSync(join(folder, 'cpu.cfs_period_us'), `${periodUs}`)
      writeFileSync(join(folder, 'cpu.cfs_quota_us'), `${quotaUs}`)
    } else writeFileSync(join(folder, 'cpu.max'), `${quotaUs} ${periodUs}`)
  } catch {
    return null
  }
  t.teardown(() => removed(folder))
  return {
    within: ['/bin/sh', '-c', `echo $$ > ${join(folder, 'cgroup.procs')} && exec "$@"`, 'sh'],
    means: v1 ? 'a control group’s quota (cpu.cfs_quota_us)' : 'a control group’s cpu.max',
  }
}

/** A group is busy until the last of its processes was reaped. */
async function removed(folder: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++)
    try {
      rmdirSync(folder)
      return
    } catch {
      await setTimeout(50)
    }
}
