import { join } from 'node:path'
import test from 'ava'
import { storeConformance } from '../conformance/store.ts'
import { temporaryFolder } from '../support/folders.ts'

storeConformance(test, {
  name: 'sqlite',
  fresh: async t => `sqlite:${join(await temporaryFolder(t, 'store'), 'lens.db')}`,
})
