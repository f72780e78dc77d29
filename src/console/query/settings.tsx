/** How a statement is to be run: what is asked of it, where, and how it is waited for. */
import type { EngineView, Lane, Mode, Operation, WireValue } from '../../client/index.ts'

export interface RunSettings {
  readonly operation: Operation
  readonly mode: Mode
  readonly lane: Lane
  /** Empty: the server's choice. */
  readonly engine: string
  readonly name: string
  /** JSON text of a list; empty for none. */
  readonly parameters: string
}

export const defaultSettings: RunSettings = {
  operation: 'execute',
  mode: 'async',
  lane: 'auto',
  engine: '',
  name: '',
  parameters: '',
}

/** Throws what is wrong with the text, in words for who wrote it. */
export function parametersOf(text: string): readonly WireValue[] | undefined {
  if (text.trim() === '') return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('Parameters: a list in JSON is expected, such as ["LAX", 30]')
  }
  if (!Array.isArray(value)) throw new Error('Parameters: a list is expected, such as ["LAX", 30]')
  return value as WireValue[]
}

interface Props {
  readonly value: RunSettings
  readonly engines: readonly EngineView[]
  readonly onChange: (value: RunSettings) => void
}

export function Settings({ value, engines, onChange }: Props) {
  const change = (field: keyof RunSettings) => (event: Event) =>
    onChange({ ...value, [field]: (event.currentTarget as HTMLInputElement | HTMLSelectElement).value })
  return (
    <div class="run-settings">
      <label class="field">
        Operation
        <select value={value.operation} onChange={change('operation')}>
          <option value="execute">execute</option>
          <option value="estimate">estimate</option>
          <option value="explain">explain</option>
        </select>
      </label>
      <label class="field">
        Engine
        <select value={value.engine} onChange={change('engine')}>
          <option value="">default</option>
          {engines.map(({ name, healthy }) => (
            <option key={name} value={name}>
              {healthy ? name : `${name} (away)`}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        Lane
        <select value={value.lane} onChange={change('lane')}>
          <option value="auto">auto</option>
          <option value="light">light</option>
          <option value="heavy">heavy</option>
        </select>
      </label>
      <label class="field">
        Mode
        <select value={value.mode} onChange={change('mode')}>
          <option value="async">async</option>
          <option value="sync">sync</option>
        </select>
      </label>
      <label class="field grow">
        Name
        <input value={value.name} onInput={change('name')} placeholder="none" maxLength={200} />
      </label>
      <label class="field grow">
        Parameters
        <input value={value.parameters} onInput={change('parameters')} placeholder='["LAX", 30]' spellcheck={false} />
      </label>
    </div>
  )
}
