import test from 'ava'
import { Mailbag } from '../../src/engines/duckdb/mailbag.ts'

test('messages of one turn travel together, in order, and once', t => {
  const written: (readonly number[])[] = []
  const ends: (() => void)[] = []
  const mailbag = new Mailbag<number>(messages => written.push(messages), { soon: task => ends.push(task) })
  const endTurn = () => ends.splice(0).forEach(task => void task())
  mailbag.post(1)
  mailbag.post(2)
  t.deepEqual(written, [])
  endTurn()
  t.deepEqual(written, [[1, 2]])
  mailbag.post(3)
  // Last words: at once, and not again at the end of the turn.
  mailbag.flush()
  t.deepEqual(written, [[1, 2], [3]])
  endTurn()
  mailbag.flush()
  t.deepEqual(written, [[1, 2], [3]])
  mailbag.post(4)
  endTurn()
  t.deepEqual(written, [[1, 2], [3], [4]])
})
