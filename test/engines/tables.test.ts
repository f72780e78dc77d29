/** Files, folders, patterns and packages as tables; what is wrong with them is said at the start. */
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { query } from '../conformance/engines.ts'
import { temporaryFolder } from '../support/folders.ts'
import { openDuckDb } from './support.ts'

test('the packaged data can be queried', async t => {
  const { driver } = await openDuckDb(
    t,
    {},
    {
      tables: {
        flights: 'package:vega-datasets/data/flights-3m.parquet',
        airports: 'package:vega-datasets/data/airports.csv',
        weather: 'package:vega-datasets/data/weather.csv',
      },
    },
  )
  t.deepEqual(
    (await driver.tables()).map(({ name }) => name),
    ['flights', 'airports', 'weather'],
  )
  t.deepEqual((await query(driver, 'SELECT count(*) FROM flights')).rows, [['3000000']])
  t.deepEqual((await query(driver, 'SELECT count(*) > 2000000 FROM flights JOIN airports ON origin = iata')).rows, [
    [true],
  ])
})

test('folders, patterns, compressed files and partitions', async t => {
  const folder = await temporaryFolder(t, 'data')
  const file = async (path: string, content: string | Uint8Array) => {
    await mkdir(join(folder, path, '..'), { recursive: true })
    await writeFile(join(folder, path), content)
  }
  await file('plain/a.csv', 'id,name\n1,a\n')
  await file('plain/b.csv', 'id,name\n2,b\n')
  await file('plain/.hidden.csv', 'broken')
  await file('plain/notes.md', 'no table')
  await file('years/year=2023/x.csv', 'id\n1\n')
  await file('years/year=2024/x.csv', 'id\n2\n')
  await file('lines/a.jsonl.gz', gzipSync('{"id":1}\n{"id":2}\n'))
  await file("odd/it's [a] file.tsv", 'id\tname\n7\tseven\n')
  const { driver } = await openDuckDb(
    t,
    {},
    {
      tables: {
        plain: join(folder, 'plain'),
        pattern: join(folder, 'plain/*.csv'),
        years: join(folder, 'years'),
        lines: join(folder, 'lines/a.jsonl.gz'),
        odd: join(folder, "odd/it's [a] file.tsv"),
      },
    },
  )
  t.deepEqual((await query(driver, 'SELECT id, name FROM plain ORDER BY id')).rows, [
    ['1', 'a'],
    ['2', 'b'],
  ])
  t.deepEqual((await query(driver, 'SELECT count(*) FROM pattern')).rows, [['2']])
  t.deepEqual((await query(driver, 'SELECT id, year FROM years ORDER BY id')).rows, [
    ['1', '2023'],
    ['2', '2024'],
  ])
  t.deepEqual((await query(driver, 'SELECT sum(id)::INTEGER FROM lines')).rows, [[3]])
  t.deepEqual((await query(driver, 'SELECT * FROM odd')).rows, [['7', 'seven']])
})

test('a table that cannot be is named at the start, with the reason', async t => {
  const folder = await temporaryFolder(t, 'data')
  await writeFile(join(folder, 'a.csv'), 'id\n1\n')
  await writeFile(join(folder, 'b.json'), '[{"id":1}]')
  await writeFile(join(folder, 'c.xyz'), '')
  await writeFile(join(folder, 'broken.parquet'), 'no parquet')
  await mkdir(join(folder, 'empty'))
  const cases: readonly (readonly [string, RegExp])[] = [
    [join(folder, 'missing.csv'), /items.*no such file/],
    [join(folder, 'empty'), /items.*no Parquet, CSV or JSON/],
    [folder, /items.*several kinds/],
    [join(folder, 'c.xyz'), /items.*extension/],
    [join(folder, '*.none'), /items.*no Parquet, CSV or JSON/],
    [join(folder, 'broken.parquet'), /parquet/i],
    ['package:no-such-package/x.csv', /items.*not installed/],
    ['package:vega-datasets/../x.csv', /items.*out of its package/],
  ]
  for (const [location, message] of cases.filter(([location]) => location !== folder))
    await t.throwsAsync(() => openDuckDb(t, {}, { tables: { items: location } }), { message })
  await rename(join(folder, 'broken.parquet'), join(folder, 'broken.txt'))
  await t.throwsAsync(() => openDuckDb(t, {}, { tables: { items: folder } }), { message: cases[2]?.[1] as RegExp })
})
