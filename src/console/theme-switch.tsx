/** Goes round: as the system, light, dark. */
import { useStore } from './store.ts'
import { chooseTheme, type Theme, theme } from './theme.ts'
import { Button } from './ui/index.ts'

const next: Readonly<Record<Theme, Theme>> = { system: 'light', light: 'dark', dark: 'system' }
const shapes: Readonly<Record<Theme, string>> = { system: '◐', light: '☀', dark: '☾' }

export function ThemeSwitch() {
  const value = useStore(theme)
  const label = `Theme: ${value}. Change to ${next[value]}`
  return (
    <Button kind="quiet" small aria-label={label} title={label} onClick={() => chooseTheme(next[value])}>
      <span aria-hidden="true">{shapes[value]}</span>
    </Button>
  )
}
