/** The page about the machines is the one that the machines give. */
import { readFile } from 'node:fs/promises'
import test from 'ava'
import { generate } from '../support/docs/state-machines.ts'

test('docs/state-machines.md is what its generator writes', async t => {
  const page = await readFile(new URL('../../docs/state-machines.md', import.meta.url), 'utf8')
  t.is(page, generate(), 'run `npm run docs`')
})

test('the page names every state and draws every arrow once', t => {
  const page = generate()
  for (const state of ['LAUNCHED.stopping', 'RUNNING.following', 'CLOSED', 'CLOSING', 'EXPIRED'])
    t.true(page.includes(`\`${state}\``))
  const arrows = page.split('\n').filter(line => /^ {4}\w+ --> \w+:/.test(line))
  t.is(new Set(arrows.map(line => line.split(':')[0])).size, arrows.length)
  t.true(arrows.includes('    FAILING --> QUEUED: RETRIED, STOP_REQUESTED'), arrows.join('\n'))
})
