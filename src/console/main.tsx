/** Entry of the console. */
import './ui/theme.css'
import './ui/ui.css'
import { render } from 'preact'
import { App } from './app.tsx'
import { openReach } from './reach.ts'
import { followLinks } from './routes.ts'
import { applyTheme } from './theme.ts'

applyTheme()
openReach()
followLinks(document)
render(<App />, document.getElementById('app') as HTMLElement)
