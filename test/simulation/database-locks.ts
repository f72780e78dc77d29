/** Locks of rows as InnoDB keeps them: shared or exclusive, by primary key, until the transaction ends. */

/** Whoever holds locks. */
export interface LockHolder {
  readonly locks: RowLock[]
}

export type LockMode = 'shared' | 'exclusive'

export interface RowLock {
  readonly table: string
  readonly key: string
  exclusive: LockHolder | null
  readonly shared: Set<LockHolder>
}

export class RowLocks<Holder extends LockHolder> {
  readonly #tables = new Map<string, Map<string, RowLock>>()

  /** Whether any row of the table is locked by anybody. */
  any(table: string): boolean {
    return (this.#tables.get(table)?.size ?? 0) > 0
  }

  /** Who must end before this one may have the lock. */
  conflicts(table: string, key: string, mode: LockMode, holder: Holder | null): Holder[] {
    const lock = this.#tables.get(table)?.get(key)
    if (!lock) return []
    const others: LockHolder[] = []
    if (lock.exclusive && lock.exclusive !== holder) others.push(lock.exclusive)
    if (mode === 'exclusive') for (const one of lock.shared) if (one !== holder) others.push(one)
    return others as Holder[]
  }

  /** Who holds a lock that is in conflict, of any row of the table whose key passes. */
  conflictsAmong(table: string, touched: (key: string) => boolean, mode: LockMode, holder: Holder | null): Holder[] {
    const others: Holder[] = []
    for (const key of this.#tables.get(table)?.keys() ?? []) {
      const found = this.conflicts(table, key, mode, holder)
      if (found.length > 0 && touched(key)) others.push(...found)
    }
    return others
  }

  take(table: string, key: string, mode: LockMode, holder: Holder): void {
    let locks = this.#tables.get(table)
    if (!locks) {
      locks = new Map()
      this.#tables.set(table, locks)
    }
    let lock = locks.get(key)
    if (!lock) {
      lock = { table, key, exclusive: null, shared: new Set() }
      locks.set(key, lock)
    }
    if (lock.exclusive === holder) return
    if (mode === 'exclusive') lock.exclusive = holder
    else if (lock.shared.has(holder)) return
    else lock.shared.add(holder)
    holder.locks.push(lock)
  }

  release(holder: Holder): void {
    for (const lock of holder.locks) {
      if (lock.exclusive === holder) lock.exclusive = null
      lock.shared.delete(holder)
      if (lock.exclusive === null && lock.shared.size === 0) this.#tables.get(lock.table)?.delete(lock.key)
    }
    holder.locks.length = 0
  }
}
