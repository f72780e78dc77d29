/**
 * A Dockerfile as steps that can be performed without Docker. Knows the instructions and forms that ours has; whatever else stands in it is an
 * error, so that nothing is shipped which no test performs.
 */
export interface Step {
  readonly instruction: Instruction
  /** `--from=build` and the like, without the dashes. */
  readonly flags: Readonly<Record<string, string>>
  /** Words of the exec form, or of COPY and the like. */
  readonly words: readonly string[]
  /** The text of the shell form of RUN; null in the exec form and elsewhere. */
  readonly shell: string | null
  /** Of ENV, LABEL and ARG. */
  readonly values: Readonly<Record<string, string>>
}

export interface Stage {
  /** Of `FROM … AS name`. */
  readonly name: string | null
  /** What it starts from, its arguments resolved. */
  readonly from: string
  readonly steps: readonly Step[]
}

const instructions = [
  'ARG',
  'CMD',
  'COPY',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'HEALTHCHECK',
  'LABEL',
  'RUN',
  'STOPSIGNAL',
  'USER',
  'VOLUME',
  'WORKDIR',
] as const
export type Instruction = (typeof instructions)[number]

export function parseDockerfile(text: string): Stage[] {
  const stages: { name: string | null; from: string; steps: Step[] }[] = []
  const given: Record<string, string> = {}
  // Comments may stand between the lines of one instruction; they are gone before lines are joined.
  const lines = text
    .replace(/^[ \t]*#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
  for (const line of lines.map(each => each.trim()).filter(each => each !== '')) {
    const [, name = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? []
    if (name === 'FROM') {
      const [, from, stage] = /^(\S+)(?:\s+AS\s+(\S+))?$/.exec(substituted(rest, given)) ?? []
      if (from === undefined) throw new Error(`not understood: ${line}`)
      stages.push({ name: stage ?? null, from, steps: [] })
      continue
    }
    if (!instructions.includes(name as Instruction)) throw new Error(`unknown instruction: ${line}`)
    const step = parseStep(name as Instruction, rest)
    const stage = stages.at(-1)
    if (stage) stage.steps.push(step)
    else if (name === 'ARG') Object.assign(given, step.values)
    else throw new Error(`before the first FROM: ${line}`)
  }
  return stages
}

function parseStep(instruction: Instruction, rest: string): Step {
  const flags: Record<string, string> = {}
  const body = rest.replace(/^(?:--[\w-]+=\S+\s+)+/, found => {
    for (const [, name = '', value = ''] of found.matchAll(/--([\w-]+)=(\S+)/g)) flags[name] = value
    return ''
  })
  const step = { instruction, flags, words: [] as string[], shell: null as string | null, values: {} }
  if (instruction === 'HEALTHCHECK') return { ...step, words: execForm(body.replace(/^CMD\s+/, '')) }
  if (instruction === 'ENTRYPOINT' || instruction === 'CMD') return { ...step, words: execForm(body) }
  if (instruction === 'RUN') return body.startsWith('[') ? { ...step, words: execForm(body) } : { ...step, shell: body }
  if (instruction === 'ENV' || instruction === 'LABEL' || instruction === 'ARG')
    return { ...step, values: pairs(instruction, body) }
  if (/["'[]/.test(body)) throw new Error(`not understood: ${instruction} ${body}`)
  return { ...step, words: body.split(/\s+/) }
}

/** Only the exec form: a shell between would keep the signals for itself. */
function execForm(text: string): string[] {
  const words: unknown = JSON.parse(text)
  if (!Array.isArray(words) || words.some(word => typeof word !== 'string')) throw new Error(`not understood: ${text}`)
  return words
}

function pairs(instruction: string, text: string): Record<string, string> {
  const pattern = /\s*([\w.]+)=("[^"]*"|[^\s"]*)/gy
  const found: Record<string, string> = {}
  let end = 0
  for (const match of text.matchAll(pattern)) {
    found[match[1] as string] = (match[2] as string).replace(/^"|"$/g, '')
    end = match.index + match[0].length
  }
  if (end !== text.length) throw new Error(`not understood: ${instruction} ${text}`)
  return found
}

/** `${NAME}` replaced by what is given under it. */
export function substituted(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\$\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name]
    if (value === undefined) throw new Error(`nothing is given for ${whole}`)
    return value
  })
}
