/**
 * The words of a statement, without what stands in quotes and comments. They decide in which kind of transaction a statement is
 * tried, never whether it is safe to repeat: that only the kind of transaction says in which it really ran.
 */

export interface StatementWords {
  /** In upper case, in their order, up to a bound: enough to know what the statement is. */
  readonly first: readonly string[]
  /** All that occur, in upper case. */
  readonly all: ReadonlySet<string>
  /** Names that are followed by a bracket, in lower case: functions, among others. */
  readonly called: ReadonlySet<string>
  /** Nothing but blanks, comments and semicolons. */
  readonly isEmpty: boolean
}

const firstMax = 8
const calledMax = 500

// One alternative per kind of lexeme; what matches none of them is an operator of one character.
const lexemes =
  /(\s+)|(--[^\n\r]*)|(\/\*)|([eE]'[^'\\]*(?:(?:\\[\s\S]|'')[^'\\]*)*(?:'|$))|((?:[uU]&|[bBxXnN])?'[^']*(?:''[^']*)*(?:'|$))|((?:[uU]&)?"[^"]*(?:""[^"]*)*(?:"|$))|(\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)|(\$\d+)|([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)|(\d[\w.]*)|(\()|(;)|[\s\S]/gy

export function wordsOf(sql: string): StatementWords {
  const first: string[] = []
  const all = new Set<string>()
  const called = new Set<string>()
  let isEmpty = true
  let name: string | null = null
  lexemes.lastIndex = 0
  for (let match = lexemes.exec(sql); match; match = lexemes.exec(sql)) {
    const [text, blank, line, comment, , , identifier, dollar, , word, , bracket, semicolon] = match
    if (blank !== undefined || line !== undefined) continue
    if (comment !== undefined) {
      lexemes.lastIndex = endOfComment(sql, lexemes.lastIndex)
      continue
    }
    if (semicolon === undefined) isEmpty = false
    if (dollar !== undefined) {
      const end = sql.indexOf(dollar, lexemes.lastIndex)
      lexemes.lastIndex = end < 0 ? sql.length : end + dollar.length
    }
    if (bracket !== undefined && name !== null && called.size < calledMax) called.add(name)
    if (bracket !== undefined && first.length === 0) first.push('(')
    name = null
    if (word !== undefined) {
      const upper = text.toUpperCase()
      if (first.length < firstMax) first.push(upper)
      all.add(upper)
      name = text.toLowerCase()
    } else if (identifier !== undefined) name = text.slice(text.indexOf('"') + 1, -1).replaceAll('""', '"')
  }
  return { first, all, called, isEmpty }
}

/** Comments nest. */
function endOfComment(sql: string, from: number): number {
  const marks = /\/\*|\*\//g
  marks.lastIndex = from
  let depth = 1
  for (let match = marks.exec(sql); match; match = marks.exec(sql)) {
    depth += match[0] === '/*' ? 1 : -1
    if (depth === 0) return marks.lastIndex
  }
  return sql.length
}
