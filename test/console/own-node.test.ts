/** What a page tells of the node that served it. */
import test from 'ava'
import type { NodeView } from '../../src/client/index.ts'
import { ownNodeAfter } from '../../src/console/own-node.ts'

type Member = Pick<NodeView, 'node' | 'address' | 'state'>
const n1: Member = { node: 'n1', address: 'http://127.0.0.1:9991', state: 'alive' }
const n2: Member = { node: 'n2', address: 'http://127.0.0.1:9992/', state: 'alive' }
const elsewhere = { name: 'n2', address: 'http://127.0.0.1:9992/' }
const origin = 'http://127.0.0.1:9991'

test('it is known by its address, and remembered when it is no member any more', t => {
  const alive = ownNodeAfter(null, [n2, n1], origin)
  t.deepEqual(alive, { name: 'n1', state: 'alive', elsewhere })
  const draining = ownNodeAfter(alive, [{ ...n1, state: 'draining' }, n2], origin)
  t.deepEqual(draining, { name: 'n1', state: 'draining', elsewhere })
  const left = ownNodeAfter(draining, [n2], origin)
  t.deepEqual(left, { name: 'n1', state: 'left', elsewhere })
  t.deepEqual(ownNodeAfter(left, [n2], origin), left)
  const gone = ownNodeAfter(alive, [n2], origin)
  t.deepEqual(gone, { name: 'n1', state: 'gone', elsewhere })
  t.deepEqual(ownNodeAfter(gone, [n2, n1], origin), alive, 'and back again')
  t.is(ownNodeAfter(alive, [{ ...n1, state: 'dead' }, n2], origin)?.state, 'gone')
})

test('only a living member is named as another place to open the page at', t => {
  const alive = ownNodeAfter(null, [n1], origin)
  t.is(alive?.elsewhere, null)
  t.is(ownNodeAfter(alive, [{ ...n2, state: 'draining' }], origin)?.elsewhere, null)
})

test('a page that a proxy serves has no node of its own; one by another name of this machine has', t => {
  t.is(ownNodeAfter(null, [n1, n2], 'https://lens.example'), null)
  t.is(ownNodeAfter(null, [n1, n2], 'http://localhost:9991')?.name, 'n1')
  t.is(ownNodeAfter(null, [n1, n2], 'https://127.0.0.1:9991'), null, 'another scheme is another origin')
  t.is(ownNodeAfter(null, [n1, n2], 'http://127.0.0.1:9990'), null)
})
