/** Dark or light: what the system prefers, until somebody chooses; the choice is remembered. */
import { createStore } from './store.ts'

export type Theme = 'system' | 'light' | 'dark'

const key = 'lens.theme'

function remembered(): Theme {
  const value = localStorage.getItem(key)
  return value === 'light' || value === 'dark' ? value : 'system'
}

export const theme = createStore<Theme>(remembered())

export function applyTheme(): void {
  const value = theme.get()
  if (value === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = value
}

export function chooseTheme(value: Theme): void {
  if (value === 'system') localStorage.removeItem(key)
  else localStorage.setItem(key, value)
  theme.set(value)
  applyTheme()
}

/** What is seen now. */
export function isDark(value: Theme = theme.get()): boolean {
  return value === 'dark' || (value === 'system' && matchMedia('(prefers-color-scheme: dark)').matches)
}
