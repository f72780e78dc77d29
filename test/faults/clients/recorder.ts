/** Writes what a client process asked, was answered and was told, one line each, in the order in which it became known. */

import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { expectedRows, type HistoryRecord, historyLine } from '../history.ts'
import type { Statement } from './work.ts'

export class Recorder {
  readonly #file: WriteStream
  readonly #process: string
  readonly #expected = new Set<string>()
  #count = 0

  /** `process`: what tells the ids of this process from those of others. */
  constructor(file: string, process: string) {
    this.#file = createWriteStream(file, { flags: 'a' })
    this.#process = process
  }

  nextId(): string {
    return `${this.#process}:${this.#count++}`
  }

  write(record: HistoryRecord): void {
    this.#file.write(historyLine(record))
  }

  /** Once per statement. */
  expect({ name, rows }: Statement): void {
    if (this.#expected.has(name)) return
    this.#expected.add(name)
    this.write(expectedRows(name, rows))
  }

  async end(): Promise<void> {
    this.#file.end()
    await once(this.#file, 'close')
  }
}
