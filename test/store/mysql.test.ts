import test from 'ava'
import { storeConformance } from '../conformance/store.ts'
import { executeAt, mysqlDatabases } from '../support/mysql.ts'

const databases = mysqlDatabases(test)
storeConformance(test, { name: 'mysql', fresh: t => databases.create(t), execute: executeAt })
