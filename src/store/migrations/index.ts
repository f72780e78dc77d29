/** All migrations, in order. They are code, not files to be found: the packed program has no folder to look into. */
import { InitialSchema } from './initial.ts'

export const migrationsList = [{ name: '0001-initial', class: InitialSchema }]
