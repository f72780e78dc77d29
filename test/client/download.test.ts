/** Wherever a body of JSON lines is cut, and however its bytes are split, what comes out is the whole, once. */
import test from 'ava'
import fc from 'fast-check'
import { type BodyOpener, downloadOf } from '../../src/client/download.ts'

const encoder = new TextEncoder()

/** Bodies from a row on; the n-th breaks after `cuts[n]` bytes, those after the last cut are whole. */
function breaking(lines: readonly string[], cuts: readonly number[], chunkBytes: number): BodyOpener {
  let opened = 0
  return async offset => {
    const whole = encoder.encode(lines.slice(offset).join(''))
    const cut = cuts[opened++]
    const bytes = cut === undefined ? whole : whole.subarray(0, cut)
    let at = 0
    return {
      async read() {
        if (at < bytes.length) {
          const value = bytes.slice(at, at + chunkBytes)
          at += value.length
          return { done: false, value }
        }
        if (cut !== undefined) throw new Error('the connection broke')
        return { done: true, value: undefined }
      },
      async cancel() {},
    }
  }
}

test('JSON lines resume after the last whole line', async t => {
  const line = fc.string({ unit: 'grapheme', maxLength: 12 }).map(text => `${JSON.stringify([text])}\n`)
  const cut = fc.nat({ max: 120 })
  await fc.assert(
    fc.asyncProperty(
      fc.array(line),
      fc.array(cut, { maxLength: 8 }),
      fc.integer({ min: 1, max: 40 }),
      async (lines, cuts, size) => {
        const stream = downloadOf('ndjson', breaking(lines, cuts, size), 0, async () => {})
        t.is(await new Response(stream).text(), lines.join(''))
      },
    ),
  )
})

test('it gives up when no row comes any more', async t => {
  const cuts = Array.from({ length: 100 }, () => 3)
  const failure = await t.throwsAsync(
    new Response(downloadOf('ndjson', breaking(['[12345]\n'], cuts, 2), 0, async () => {})).text(),
  )
  t.regex(String(failure), /DOWNLOAD_INTERRUPTED/)
})

test('CSV is not resumed', async t => {
  const failure = await t.throwsAsync(
    new Response(downloadOf('csv', breaking(['a\r\n', '1\r\n'], [4], 2), 0, async () => {})).text(),
  )
  t.regex(String(failure), /DOWNLOAD_INTERRUPTED/)
})
