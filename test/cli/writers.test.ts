import test from 'ava'
import { widthOf, wrapped } from '../../src/cli/output/cell.ts'
import { type Format, rowWriter } from '../../src/cli/output/writers.ts'
import type { WireValue } from '../../src/client/index.ts'

const columns = [
  { name: 'city', type: 'VARCHAR' },
  { name: 'flights', type: 'BIGINT' },
]

function written(format: Format, width: number, ...pages: WireValue[][][]): string {
  const writer = rowWriter(format, width)
  return pages.map(rows => writer.page({ columns, rows })).join('') + writer.end()
}

test('a table lines up, numbers to the right, later pages like the first', t => {
  t.is(
    written(
      'table',
      Number.POSITIVE_INFINITY,
      [
        ['Atlanta', '414513'],
        [null, '7'],
      ],
      [['Rome', '12']],
    ),
    `city     flights
-------  -------
Atlanta   414513
NULL           7
Rome          12
`,
  )
})

test('in a pipe a later, longer value is kept whole', t => {
  t.true(
    written('table', Number.POSITIVE_INFINITY, [['A', '1']], [['Llanfairpwllgwyngyll', '2']]).includes(
      'Llanfairpwllgwyngyll',
    ),
  )
})

test('on a terminal no line is wider than it, and numbers stay whole', t => {
  const text = written(
    'table',
    24,
    [['Llanfairpwllgwyngyllgogerychwyrndrobwll', '12345678']],
    [['also a very long later value', '1']],
  )
  for (const line of text.trimEnd().split('\n')) t.true(widthOf(line) <= 24, line)
  t.true(text.includes('12345678'))
  t.true(text.includes('…'))
})

test('wide characters and combining marks take their columns', t => {
  t.is(widthOf('日本'), 4)
  t.is(widthOf('é'), 1)
  t.is(widthOf('e\u0301'), 1)
  t.is(widthOf('👍'), 2)
  const [head, , first, second] = written('table', 80, [
    ['日本', '1'],
    ['abcd', '2'],
  ]).split('\n')
  t.deepEqual(
    [head, first, second].map(line => widthOf(line as string)),
    [13, 13, 13],
  )
})

test('control characters cannot move the cursor', t => {
  const text = written('table', 80, [['a\u001b[2Jb\u009bc\nd', '1']])
  t.false(text.includes('\u001b') || text.includes('\u009b'))
  t.is(text.split('\n').length, 4)
})

test('CSV: header, quotes where needed, NULL empty, the empty text quoted', t => {
  t.is(
    written(
      'csv',
      80,
      [
        ['a,b', '1'],
        ['say "x"', '2'],
        [null, null],
      ],
      [
        ['', '3'],
        ['two\nlines', '4'],
      ],
    ),
    'city,flights\r\n"a,b",1\r\n"say ""x""",2\r\n,\r\n"",3\r\n"two\nlines",4\r\n',
  )
})

test('JSON over several pages is one document', t => {
  t.deepEqual(JSON.parse(written('json', 80, [['a', '1']], [], [['b', null]])), [
    { city: 'a', flights: '1' },
    { city: 'b', flights: null },
  ])
  t.deepEqual(JSON.parse(written('json', 80, [])), [])
})

test('columns of the same name lose no value, and keep their order', t => {
  const writer = rowWriter('ndjson', 80)
  const same = ['n', '1', 'n'].map(name => ({ name, type: 'INTEGER' }))
  t.is(writer.page({ columns: same, rows: [[1, 2, 3]] }), '{"n":1,"1":2,"n_2":3}\n')
})

test('a text in lines of a width breaks between words, and in a word only where it is wider than a line', t => {
  t.deepEqual(wrapped('select a, b from t', 9), ['select a,', 'b from t'])
  t.deepEqual(wrapped('ab abcdefghij k', 4), ['ab', 'abcd', 'efgh', 'ij k'])
  t.deepEqual(wrapped('幅の広い名前', 5), ['幅の', '広い', '名前'])
  t.deepEqual(wrapped('  in', 10), ['  in'])
  t.deepEqual(wrapped('', 10), [''])
  t.deepEqual(wrapped('a\u001b[2J', 10), ['a\\u001b[2J'])
})
