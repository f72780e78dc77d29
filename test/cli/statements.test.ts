import test from 'ava'
import fc from 'fast-check'
import { splitStatements } from '../../src/cli/shell/statements.ts'

const cases: readonly [string, string, string[], string][] = [
  ['one statement', 'select 1;', ['select 1'], ''],
  ['several on a line', 'select 1; select 2;', ['select 1', 'select 2'], ''],
  ['an unfinished one is kept', 'select 1; select\n', ['select 1'], 'select\n'],
  ['a semicolon in a text', "select ';';", ["select ';'"], ''],
  ['a doubled quote', "select 'it''s; fine';", ["select 'it''s; fine'"], ''],
  ['a text that goes on', "select 'a;\n", [], "select 'a;\n"],
  ['a quoted name', 'select 1 as ";";', ['select 1 as ";"'], ''],
  ['a line comment', 'select 1 -- not; yet\n;', ['select 1 -- not; yet'], ''],
  ['a block comment', 'select /* ; */ 1;', ['select /* ; */ 1'], ''],
  ['an open block comment', 'select /* ;', [], 'select /* ;'],
  ['a dollar quote', 'select $x$;$x$;', ['select $x$;$x$'], ''],
  ['a comment before it off, but no hint', '-- x\n/* y */ /*+ z */ select 1;', ['/*+ z */ select 1'], ''],
  ['nothing but semicolons and comments', ' ; ;-- x;\n;', [], ''],
]

for (const [title, text, statements, rest] of cases) {
  test(`cuts ${title}`, t => {
    t.deepEqual(splitStatements(text), { statements, rest })
  })
}

test('typed line by line it comes to the same as at once', t => {
  const token = fc.constantFrom("'a;b'", '"c;d"', '-- e;f\n', '/* g;\nh */', ';', ' select ', '\n', '1', '$$i;j$$')
  fc.assert(
    fc.property(fc.array(token), tokens => {
      const text = `${tokens.join('')}\n`
      const all: string[] = []
      let buffer = ''
      for (const line of text.slice(0, -1).split('\n')) {
        const { statements, rest } = splitStatements(`${buffer}${line}\n`)
        all.push(...statements)
        buffer = rest
      }
      t.deepEqual(all, [...splitStatements(text).statements])
    }),
  )
})
