/** What is being written, kept for this tab: a reload, or another page, loses nothing. */
const key = 'lens.draft'

const first = `select origin, count(*) as flights, avg(delay) as delay
from flights
group by origin
order by flights desc`

export const draft = {
  get: (): string => sessionStorage.getItem(key) ?? first,
  set(text: string): void {
    try {
      sessionStorage.setItem(key, text)
    } catch {
      // Longer than the browser keeps: then it lives as long as the page.
    }
  },
}
