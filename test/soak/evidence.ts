/** What is published of a soak: one line each in `docs/evidence/soak.jsonl`, and a page made of them. */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Verdict } from './flatness.ts'
import type { SoakOutcome } from './run.ts'

const folder = new URL('../../docs/evidence/', import.meta.url)
const lines = fileURLToPath(new URL('soak.jsonl', folder))
const page = fileURLToPath(new URL('soak.md', folder))

export interface Evidence extends SoakOutcome {
  readonly at: string
  readonly commit: string
}

export function appendEvidence(evidence: Evidence): void {
  appendFileSync(lines, `${JSON.stringify(evidence)}\n`)
}

export function writePage(): string {
  const all: Evidence[] = existsSync(lines)
    ? readFileSync(lines, 'utf8')
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line))
    : []
  writeFileSync(page, pageOf(all))
  return page
}

function pageOf(all: readonly Evidence[]): string {
  const runs = all.map(evidence => {
    const { at, seed, commit, durationMs, queries, faults, samples, verdicts, wrong } = evidence
    const count = Object.values(faults).reduce((sum, some) => sum + some, 0)
    const growing = verdicts.filter(({ flat }) => !flat).map(({ name }) => name)
    return `| ${at} | ${seed} | ${commit} | ${(durationMs / 60_000).toFixed(1)} | ${queries} | ${count} | ${samples} | ${growing.join(', ') || 'nothing'} | ${wrong.length} |`
  })
  const newest = all.at(-1)
  return `# Soak

Three real nodes that are never restarted, a MariaDB that is flushed at every commit, clients that open and close sessions, submit, subscribe, read and cancel, a receiver of webhooks and
traces that refuses one request in ten, and faults that no process dies of (\`npm run faults\` is about those). What each node and each table holds is looked at again and again, memory after a collection of garbage. The first third is warming up; a quantity is flat when its
median in the last third is no more than a tenth, and what it varies by, above that of the middle one. At the end, with all clients gone, no query, slot, connection or subscription may be left.

Made by \`npm run soak -- --minutes N --record\`, which appends to [soak.jsonl](soak.jsonl).

| ended | seed | commit | minutes | queries kept at the end | faults | looks | grew | wrong |
|---|---|---|---|---|---|---|---|---|
${runs.join('\n')}

## The newest run

${newest ? tableOf(newest) : 'None yet.'}
`
}

/** Medians of the three thirds of one run. */
export function tableOf({ verdicts }: Pick<SoakOutcome, 'verdicts'>): string {
  const number = (value: number) => (Number.isInteger(value) ? String(value) : value.toFixed(1))
  const row = ({ name, first, middle, last, most, flat }: Verdict) =>
    `| ${name} | ${[first, middle, last, most].map(number).join(' | ')} | ${flat ? 'flat' : '**grows**'} |`
  return ['| what | first third | middle | last | most |  |', '|---|---|---|---|---|---|', ...verdicts.map(row)].join(
    '\n',
  )
}
