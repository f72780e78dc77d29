/** Decides I1–I11 from a history; one file per family. Linear but for sorting. */
import type { History } from '../history.ts'
import { checkEnds } from './ends.ts'
import { checkEngines } from './engines.ts'
import { checkExecutions } from './executions.ts'
import { Findings, type Invariant, invariantNames, invariants, type Report, type Violation } from './findings.ts'
import { Ledger, refusalOf } from './ledger.ts'
import { checkLimits } from './limits.ts'
import { checkPrivacy } from './privacy.ts'
import { checkRealTime } from './real-time.ts'
import { checkReplays } from './replays.ts'
import { checkRows } from './rows.ts'
import { checkVersions } from './versions.ts'
import { checkWriters } from './writers.ts'
import { checkZombies } from './zombies.ts'

export { type Invariant, invariantNames, invariants, type Report, type Violation }

const checks = [
  checkEnds,
  checkWriters,
  checkVersions,
  checkReplays,
  checkExecutions,
  checkRows,
  checkEngines,
  checkZombies,
  checkRealTime,
  checkLimits,
  checkPrivacy,
]

export function checkHistory(history: History): Report {
  const ledger = new Ledger(history)
  const findings = new Findings()
  for (const check of checks) check(ledger, findings)
  const answers: Record<string, number> = {}
  for (const operation of history.operations) {
    const refusal = refusalOf(operation)
    const answer = refusal ? (refusal.code ?? refusal.status) : operation.answer === null ? 'unknown' : 'answered'
    const key = `${operation.kind} ${operation.kind === 'subscribe' ? (operation.ended ?? 'lasted') : answer}`
    answers[key] = (answers[key] ?? 0) + 1
  }
  return { violations: findings.violations, looked: findings.looked, answers }
}

/** The report for people: by invariant, how much was looked at and what is wrong; `mostShown` violations each in full. */
export function describeReport(report: Report, mostShown = 5): string {
  const lines: string[] = []
  for (const name of invariantNames) {
    const looked = Object.entries(report.looked[name]).map(([what, count]) => `${count} ${what}`)
    const broken = report.violations.filter(({ invariant }) => invariant === name)
    lines.push(`${name.padEnd(4)}${broken.length} violations; looked at ${looked.join(', ') || 'nothing'}`)
    for (const { subject, words, evidence } of broken.slice(0, mostShown)) {
      lines.push(`      ${subject}: ${words}`)
      for (const one of evidence.slice(0, 12)) lines.push(`        ${JSON.stringify(one).slice(0, 1000)}`)
    }
  }
  const answers = Object.entries(report.answers).sort()
  lines.push(`answers: ${answers.map(([answer, count]) => `${answer} ${count}`).join(', ')}`)
  return lines.join('\n')
}
