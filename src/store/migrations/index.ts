/**
 * All migrations, in order. They are code, not files to be found: the packed program has no folder to look into.
 *
 * Expand, then contract: the version before this one runs on the schema of this one, so a migration only adds: tables, indexes, and
 * columns that are nullable or have a default. What nobody reads or writes any more is dropped by a release later than the one that
 * stopped, when no node of the one before can be there. A test reads the statements of those that are newer than the kept build.
 */
import { EngineCleanups } from './engine-cleanups.ts'
import { InitialSchema } from './initial.ts'
import { Retention } from './retention.ts'
import { SignIn } from './sign-in.ts'
import { SnapshotFormats } from './snapshot-format.ts'
import { TraceParent } from './trace-parent.ts'
import { Webhooks } from './webhooks.ts'

export const migrationsList = [
  { name: '0001-initial', class: InitialSchema },
  { name: '0002-engine-cleanups', class: EngineCleanups },
  { name: '0003-sign-in', class: SignIn },
  { name: '0004-snapshot-format', class: SnapshotFormats },
  { name: '0005-retention', class: Retention },
  { name: '0006-webhooks', class: Webhooks },
  { name: '0007-trace-parent', class: TraceParent },
]
