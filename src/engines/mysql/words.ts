/**
 * The words of a statement, without what stands in texts and comments. They decide in which kind of transaction a statement is
 * tried, never whether it is safe to repeat: that only the kind of transaction says in which it really ran.
 */

export interface StatementWords {
  /** In upper case, in their order, up to a bound: enough to know what the statement is. */
  readonly first: readonly string[]
  /** Unquoted words, in upper case. */
  readonly all: ReadonlySet<string>
  /** Whatever may be the name of something, in lower case, quoted or not. */
  readonly names: ReadonlySet<string>
  /** Nothing but blanks, comments and semicolons. */
  readonly isEmpty: boolean
  /** Something follows a semicolon. */
  readonly isSeveral: boolean
}

const firstMax = 8

// One alternative per kind of lexeme; what matches none of them is an operator of one character. The server executes what
// stands in comments that begin with an exclamation mark, so of these only the marks are skipped. In double quotes there may
// be a text or a name: that depends on the server's mode.
const lexemes =
  /(\s+|--(?=[\s\0]|$)[^\n]*|#[^\n]*|\/\*M?!\d*|\*\/|\/\*[\s\S]*?(?:\*\/|$))|('[^'\\]*(?:(?:\\[\s\S]|'')[^'\\]*)*(?:'|$))|("[^"\\]*(?:(?:\\[\s\S]|"")[^"\\]*)*(?:"|$))|(`[^`]*(?:``[^`]*)*(?:`|$))|([A-Za-z_$@\u0080-\uffff][\w$@\u0080-\uffff]*)|(\d[\w.]*)|(\()|(;)|[\s\S]/gy

export function wordsOf(sql: string): StatementWords {
  const first: string[] = []
  const all = new Set<string>()
  const names = new Set<string>()
  let isEmpty = true
  let hasEnded = false
  let isSeveral = false
  lexemes.lastIndex = 0
  for (let match = lexemes.exec(sql); match; match = lexemes.exec(sql)) {
    const [lexeme, blank, , quoted, identifier, word, number, bracket, semicolon] = match
    if (blank !== undefined) continue
    if (semicolon !== undefined) {
      hasEnded = !isEmpty
      continue
    }
    isEmpty = false
    if (hasEnded) isSeveral = true
    if (bracket !== undefined && first.length === 0) first.push('(')
    if (word !== undefined) {
      const upper = lexeme.toUpperCase()
      if (first.length < firstMax) first.push(upper)
      all.add(upper)
      names.add(lexeme.toLowerCase())
    }
    // A name may begin with a digit, but does not consist of them.
    if (number !== undefined && !/^[\d.]+$/.test(lexeme)) names.add(lexeme.toLowerCase())
    if (identifier !== undefined) names.add(unquoted(lexeme, '`'))
    if (quoted !== undefined) names.add(unquoted(lexeme, '"'))
  }
  return { first, all, names, isEmpty, isSeveral }
}

function unquoted(lexeme: string, quote: string): string {
  return lexeme
    .slice(1, lexeme.endsWith(quote) ? -1 : undefined)
    .replaceAll(quote + quote, quote)
    .toLowerCase()
}
