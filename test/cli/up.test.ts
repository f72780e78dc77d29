/** `lens up`: a real cluster of processes; one is killed, the rest go on; Ctrl-C stops all. */
import test from 'ava'
import { LensClient } from '../../src/client/index.ts'
import { collected, slowSql } from '../client/support.ts'
import { temporaryFolder } from '../support/folders.ts'
import { eventually, freePort } from '../support/nodes.ts'
import { run, start } from './support.ts'

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

interface Listed {
  readonly name: string
  readonly url: string
  readonly pid: number
}

const row = /^(node-\d+) +(http:\S+) +(\d+) +kill -9 \3$/gm

test.serial('three nodes come up, a killed one stays dead and its query goes on, Ctrl-C stops the rest', async t => {
  const cwd = await temporaryFolder(t)
  const up = start(t, ['up', '--nodes', '3', '--port', String(await freePort())], { cwd })
  const nodes = await up.until('the table of nodes', ({ out }): Listed[] | null => {
    if (!out.includes('Ctrl-C here stops all')) return null
    return [...out.matchAll(row)].map(([, name = '', url = '', pid]) => ({ name, url, pid: Number(pid) }))
  })
  t.teardown(() => {
    for (const { pid } of nodes) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  })
  t.deepEqual(
    nodes.map(node => node.name),
    ['node-1', 'node-2', 'node-3'],
  )
  const servers = /LENS_SERVER=(\S+)/.exec(up.out)?.[1] ?? ''
  t.deepEqual(
    servers.split(','),
    nodes.map(node => node.url),
  )

  await using client = new LensClient({ endpoints: servers.split(','), user: 'ada' })
  const query = await client.submit(slowSql)
  let victim: Listed | undefined
  const changes = await collected(query.changes(), change => {
    if (change.status !== 'RUNNING' || victim) return
    victim = nodes.find(node => node.name === change.owner.node)
    if (victim) process.kill(victim.pid, 'SIGKILL')
  })
  t.is(changes.at(-1)?.status, 'SUCCESSFUL')
  t.not(changes.at(-1)?.owner.node, victim?.name)
  const { pid, name } = victim ?? { pid: 0, name: '' }
  await up.until('the announcement', ({ err }) =>
    err.includes(`*** ${name} (pid ${pid}) has ended: killed by SIGKILL. It stays down; 2 of 3 nodes go on.`),
  )
  const cli = await run(t, ['query', 'select 1 as a', '-f', 'csv'], { env: { LENS_SERVER: servers } })
  t.deepEqual([cli.code, cli.out], [0, 'a\r\n1\r\n'])

  await client.close()
  up.kill('SIGINT')
  const { code, err } = await up.finished
  t.is(code, 0, err)
  for (const node of nodes) t.false(isAlive(node.pid), node.name)
  t.regex(err, /node-\d \| .*info/)
})

test.serial('nodes leave when the process that started them was killed', async t => {
  const cwd = await temporaryFolder(t)
  const up = start(t, ['up', '-n', '2', '--quiet', '--port', String(await freePort())], { cwd })
  const pids = await up.until('the table of nodes', ({ out }): number[] | null => {
    return out.includes('Ctrl-C here stops all') ? [...out.matchAll(row)].map(match => Number(match[3])) : null
  })
  t.teardown(() => {
    for (const pid of pids) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  })
  t.is(pids.length, 2)
  up.kill('SIGKILL')
  await up.finished
  await eventually('the nodes have left', () => pids.every(pid => !isAlive(pid)))
  t.pass()
})

test.serial('a wrong configuration is said at once, with 2', async t => {
  const cwd = await temporaryFolder(t)
  const { code, err } = await run(t, ['up', '--nodes', '2'], { cwd, env: { LENS_LEASE_MS: 'x' } })
  t.is(code, 2)
  t.regex(err, /cluster\.leaseMs/)
})
