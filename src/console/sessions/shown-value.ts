/** What of a property may be shown on a screen. */

/** The wider half of what the server itself hides of a session's machine. */
const telling = /pass(word|wd|phrase)?|pwd|secret|token|credential|authorization|cookie|api[-_.]?key|private[-_.]?key/i
export const hidden = '••••••'

/** What may be shown of a property: nothing of one with a telling name, no password within an address. */
export function shownValue(name: string, value: string): string {
  if (telling.test(name)) return hidden
  return value
    .replace(/\b([a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s/]*@/gi, `$1:${hidden}@`)
    .replace(/\b(Bearer|Basic)\s+[\w.~+/=-]+/gi, `$1 ${hidden}`)
}
