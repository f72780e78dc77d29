export type * from './contract.ts'
export type { StoreLogger } from './database.ts'
export { type LeaseStoreOptions, leaseModuleOf } from './lease-module.ts'
export { type OpenStoreOptions, openStore } from './store.ts'
