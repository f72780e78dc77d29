/** The cluster's part of the store: one face over members, claims and budgets. */

import { Budgets } from './budgets.ts'
import { Claims } from './claims.ts'
import type { ClusterStore } from './contract.ts'
import type { Database } from './database.ts'
import { Members } from './members.ts'

export function clusterStore(database: Database): ClusterStore {
  const members = new Members(database)
  const claims = new Claims(database)
  const budgets = new Budgets(database)
  return {
    join: member => members.join(member),
    members: () => members.members(),
    raiseSnapshotFormat: term => members.raiseSnapshotFormat(term),
    memberOf: incarnation => members.memberOf(incarnation),
    setState: (incarnation, state) => members.setState(incarnation, state),
    allowEarlyTakeover: incarnation => members.allowEarlyTakeover(incarnation),
    leave: incarnation => members.leave(incarnation),
    acquireLease: (holder, deadHolder) => members.acquireLease(holder, deadHolder),
    resignLease: (incarnation, term) => members.resignLease(incarnation, term),
    fence: (term, incarnation, cause, onlyIfExpiredByMs) => members.fence(term, incarnation, cause, onlyIfExpiredByMs),
    failoverDone: (id, queries) => members.failoverDone(id, queries),
    failovers: limit => members.failovers(limit),
    orphanOwners: () => claims.orphanOwners(),
    claim: (term, deadIncarnation, target, limit, launchedOnly) =>
      claims.claim(term, deadIncarnation, target, limit, launchedOnly),
    rebalance: (term, from, target, limit, lane, exceptUsers) =>
      claims.rebalance(term, from, target, limit, lane, exceptUsers),
    budgets: () => budgets.all(),
    slotsHeld: () => budgets.held(),
    grantBudgets: (term, grants) => budgets.grant(term, grants),
    acknowledgeBudget: (incarnation, engine, lane, acknowledged, instead) =>
      budgets.acknowledge(incarnation, engine, lane, acknowledged, instead),
    recountLimits: term => budgets.recountLimits(term),
    sweepMembers: term => members.sweep(term),
  }
}
