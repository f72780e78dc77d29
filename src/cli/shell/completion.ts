/** Completes what stands before the cursor: keywords, tables, columns, and the shell's own commands. */
import type { LensClient, TableView } from '../../client/index.ts'

const keywords =
  `ALL AND AS ASC AVG BETWEEN BY CASE CAST COUNT CROSS DESC DESCRIBE DISTINCT ELSE END EXCEPT EXISTS EXPLAIN FALSE FROM FULL
GROUP HAVING IN INNER INTERSECT IS JOIN LEFT LIKE LIMIT MAX MIN NOT NULL OFFSET ON OR ORDER OUTER OVER PARTITION RIGHT SELECT
SHOW SUM THEN TRUE UNION USING VALUES WHEN WHERE WITH`.split(/\s+/)

export class Completion {
  readonly #metaCommands: readonly string[]
  #tables: readonly TableView[] = []

  constructor(metaCommands: readonly string[]) {
    this.#metaCommands = metaCommands
  }

  get tables(): readonly TableView[] {
    return this.#tables
  }

  /** Reads tables and columns of every engine; what cannot be read is simply not completed. */
  async load(client: LensClient): Promise<void> {
    const engines = await client.engines()
    const lists = await Promise.all(engines.map(engine => client.tables(engine.name).catch(() => [])))
    this.#tables = lists.flat()
  }

  /** In the form that node:readline asks for: what fits, and the part of the line that it would replace. */
  complete(line: string): [string[], string] {
    if (line.startsWith('\\') && !line.includes(' ')) {
      return [this.#metaCommands.filter(command => command.startsWith(line)), line]
    }
    const word = /[\p{L}\p{N}_.]*$/u.exec(line)?.[0] ?? ''
    if (word === '') return [[], word]
    const dot = word.lastIndexOf('.')
    if (dot > 0) {
      const table = this.#tables.find(({ name }) => name.toLowerCase() === word.slice(0, dot).toLowerCase())
      const columns = table?.columns.map(column => `${word.slice(0, dot)}.${column.name}`) ?? []
      return [fitting(columns, word), word]
    }
    // Keywords in the case in which they were begun.
    const cased = word === word.toUpperCase() ? keywords : keywords.map(keyword => keyword.toLowerCase())
    const names = this.#tables.flatMap(table => [table.name, ...table.columns.map(column => column.name)])
    return [fitting([...new Set([...names, ...cased])], word), word]
  }
}

function fitting(candidates: readonly string[], word: string): string[] {
  const start = word.toLowerCase()
  return candidates.filter(candidate => candidate.toLowerCase().startsWith(start)).sort()
}
