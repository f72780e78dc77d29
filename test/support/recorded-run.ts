/** Tests that need what a command has fetched and started for them: run, told line by line, and written down as evidence. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface RecordedRun {
  /** AVA's configuration, from the project's folder. */
  readonly config: string
  readonly env: Readonly<Record<string, string>>
  /** Where the answers are written; null: nowhere. */
  readonly page: string | null
  readonly title: string
  /** Of the page: with what it was written. */
  readonly command: string
  /** Of the page: what was run, by name. */
  readonly facts: Readonly<Record<string, string | number>>
}

const root = fileURLToPath(new URL('../../', import.meta.url))

/** False when a test has failed, or none was run. */
export async function recordedRun({ config, env, page, title, command, facts }: RecordedRun): Promise<boolean> {
  const say = (text: string) => process.stdout.write(`${text}\n`)
  const tests: { readonly name: string; readonly isPassed: boolean }[] = []
  const startedAt = new Date()
  const ava = spawn(process.execPath, [`${root}node_modules/ava/entrypoints/cli.js`, '--config', config, '--tap'], {
    ...{ cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } },
  })
  const ended = once(ava, 'close')
  for await (const line of createInterface({ input: ava.stdout })) {
    const [, not, name] = /^(not )?ok \d+ - (.*)$/.exec(line) ?? []
    if (name !== undefined) tests.push({ name, isPassed: not === undefined })
    if (name !== undefined || line.startsWith(' ') || line.startsWith('#')) say(line)
  }
  const [code] = await ended
  const passed = tests.filter(({ isPassed }) => isPassed).length
  const summary = `${passed} passed, ${tests.length - passed} failed`
  say(summary)
  if (page !== null) {
    const took = Math.round((Date.now() - startedAt.getTime()) / 1_000)
    const table = {
      begun: `${startedAt.toISOString().slice(0, 16).replace('T', ' ')} UTC, took ${took} s`,
      commit: commitNow(),
      ...facts,
      Node: process.version,
      tests: summary,
    }
    const lines = [
      ...[`# ${title}`, '', `Written by \`${command}\`.`, '', '| | |', '| --- | --- |'],
      ...Object.entries(table).map(([name, value]) => `| ${name} | ${value} |`),
      '',
      ...tests.map(({ name, isPassed }) => `- ${isPassed ? 'passed' : '**failed**'}: ${name}`).sort(),
      '',
    ]
    writeFileSync(`${root}${page}`, lines.join('\n'))
  }
  return code === 0 && tests.length > 0 && passed === tests.length
}

function commitNow(): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()
  return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', 'src') === '' ? '' : ' with changes')
}
