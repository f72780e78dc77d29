import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'ava'
import { storeConformance } from '../conformance/store.ts'
import { temporaryFolder } from '../support/folders.ts'

storeConformance(test, {
  name: 'sqlite',
  fresh: async t => `sqlite:${join(await temporaryFolder(t, 'store'), 'lens.db')}`,
  execute: async (url, sql) => {
    const database = new DatabaseSync(url.slice('sqlite:'.length))
    try {
      database.exec(sql)
    } finally {
      database.close()
    }
  },
})
