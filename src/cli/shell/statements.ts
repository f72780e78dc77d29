/** Cuts SQL text at the semicolons that end a statement: those in quotes, comments and dollar quotes do not. */

export interface SplitText {
  /** Complete statements, without their semicolons; empty ones are left out. */
  readonly statements: readonly string[]
  /** What follows the last semicolon. */
  readonly rest: string
}

// One alternative per thing that may hold a semicolon; each also matches unfinished, up to the end of the text.
const opaque =
  /'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|`[^`]*(?:`|$)|--[^\n]*(?:\n|$)|\/\*[\s\S]*?(?:\*\/|$)|(\$[A-Za-z_]*\$)[\s\S]*?(?:\1|$)|;/g

// Comments before a statement belong to nobody; a hint belongs to what follows it.
const leading = /^(?:\s|--[^\n]*(?:\n|$)|\/\*(?!\+)[\s\S]*?\*\/)+/

export function splitStatements(text: string): SplitText {
  const statements: string[] = []
  let from = 0
  for (const match of text.matchAll(opaque)) {
    if (match[0] !== ';') continue
    const statement = text.slice(from, match.index).replace(leading, '').trimEnd()
    if (statement !== '') statements.push(statement)
    from = match.index + 1
  }
  return { statements, rest: text.slice(from).replace(leading, '') }
}
