/** What the Query page computes: where the engine found an error, which rows are seen, and how values are written. */
import test from 'ava'
import fc from 'fast-check'
import { errorPlaceOf } from '../../src/console/query/error-place.ts'
import { heightPx, isScaled, rowPx, scrollTopOf, topMax, topOf, topShowing } from '../../src/console/query/scroll.ts'
import { isNumeric, tabbed, textOfValue, widthsOf } from '../../src/console/query/values.ts'

test('the place of an error is that of the mark under the line', t => {
  const sql = 'select delay,\n  nope\nfrom flights'
  const place = errorPlaceOf('Binder Error: no\n\nLINE 2:   nope\n          ^', sql)
  t.is(sql.slice(place?.from, place?.to), 'nope')
  const short = errorPlaceOf('Parser Error: syntax error\n\nLINE 1: selec 1\n        ^', 'selec 1')
  t.deepEqual(short, { from: 0, to: 5 })
})

test('of a long line the engine shows a part between dots', t => {
  const sql = `select ${'a, '.repeat(60)}nope${', b'.repeat(60)} from flights`
  const at = sql.indexOf('nope')
  const part = sql.slice(at - 20, at + 30)
  const message = `Binder Error: no\n\nLINE 1: ...${part}...\n${' '.repeat('LINE 1: ...'.length + 20)}^`
  const place = errorPlaceOf(message, sql)
  // The part may stand in the line more than once; the first is as good a guess as any, and this one stands there once.
  t.is(sql.slice(place?.from, place?.to), 'nope')
})

test('a message without a place, or with one that the text does not have, marks nothing', t => {
  t.is(errorPlaceOf('Out of Memory Error: too much', 'select 1'), null)
  t.is(errorPlaceOf('x\n\nLINE 7: select\n        ^', 'select 1'), null)
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.nat(9), fc.nat(40), (sql, excerpt, line, column) => {
      const place = errorPlaceOf(`no\n\nLINE ${line}: ${excerpt}\n${' '.repeat(column)}^`, sql)
      t.true(place === null || (place.from >= 0 && place.from <= sql.length && place.to > place.from))
    }),
  )
})

const extents = fc.record({
  rowCount: fc.integer({ min: 1, max: 2_000_000_000 }),
  viewPx: fc.integer({ min: 26, max: 2_000 }),
})

test('wherever one scrolls, what is seen is within the rows, and its place is found again', t => {
  fc.assert(
    fc.property(extents, fc.double({ min: 0, max: 1, noNaN: true }), (extent, part) => {
      t.true(heightPx(extent) <= 8_000_000)
      const top = part * topMax(extent)
      const found = topOf(scrollTopOf(top, extent), extent)
      t.true(Math.abs(found - top) < 1e-3 * Math.max(1, top), `${found} for ${top}`)
      const end = topOf(Math.max(0, heightPx(extent) - extent.viewPx), extent)
      t.true(Math.abs(end - topMax(extent)) < 1e-6 * extent.rowCount + 1e-6)
    }),
  )
})

test('a row that is to be shown is seen, and one that is seen moves nothing', t => {
  fc.assert(
    fc.property(extents, fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(), (extent, part, wish) => {
      const index = wish % extent.rowCount
      const top = topShowing(index, part * topMax(extent), extent)
      t.true(index >= top && index < top + Math.max(1, extent.viewPx / rowPx), `${index} from ${top}`)
      t.is(topShowing(index, top, extent), top)
    }),
  )
})

test('only a result too high for a browser is scaled', t => {
  t.false(isScaled({ rowCount: 300_000, viewPx: 500 }))
  t.true(isScaled({ rowCount: 400_000, viewPx: 500 }))
})

test('values are written by the type of their column', t => {
  const column = (type: string) => ({ name: 'x', type })
  t.is(textOfValue('2026-11-23T01:02:03', column('TIMESTAMP')), '2026-11-23 01:02:03')
  t.is(textOfValue('2026-11-23T01:02:03', column('VARCHAR')), '2026-11-23T01:02:03')
  t.is(textOfValue({ a: [1] }, column('STRUCT(a INTEGER[])')), '{"a":[1]}')
  t.is(textOfValue(null, column('INTEGER')), null)
  for (const type of ['BIGINT', 'HUGEINT', 'UTINYINT', 'DECIMAL(18,3)', 'DOUBLE', 'INT'])
    t.true(isNumeric(column(type)), type)
  for (const type of ['VARCHAR', 'INTERVAL', 'INTEGER[]', 'DATE', 'POINT']) t.false(isNumeric(column(type)), type)
  const columns = [column('VARCHAR'), column('INTEGER')]
  t.is(
    tabbed(
      [
        ['a\t"b"', 1],
        [null, 2],
      ],
      columns,
    ),
    '"a\t""b"""\t1\n\t2',
  )
  t.true(widthsOf(columns, [['x'.repeat(500), 1]]).every(width => width <= 45))
})
