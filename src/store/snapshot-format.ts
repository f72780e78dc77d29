/**
 * The newest version in which snapshots are written: a row that the leader raises once every living member reads a newer one, and that
 * nobody joins past who does not read it. It never falls. So a store that knows an older value writes what everybody reads all the
 * more, and what it knows is renewed by every reading of the members.
 */
import { downgradeSnapshot, type StoredSnapshot, type snapshotDowngrades } from '../domain/index.ts'
import type { StepGroup, TransitionRecord } from './contract.ts'

export class SnapshotFormat {
  readonly #downgrades: typeof snapshotDowngrades
  #version = 1

  constructor(downgrades: typeof snapshotDowngrades) {
    this.#downgrades = downgrades
  }

  /** What the row said. */
  learn(version: number): void {
    this.#version = Math.max(this.#version, version)
  }

  /** As it is to be written. */
  snapshot(snapshot: StoredSnapshot): StoredSnapshot {
    return downgradeSnapshot(snapshot, this.#version, this.#downgrades)
  }

  transition(transition: TransitionRecord): TransitionRecord {
    return transition.machineVersion <= this.#version ? transition : { ...transition, machineVersion: this.#version }
  }

  group(group: StepGroup): StepGroup {
    const snapshot = this.snapshot(group.snapshot)
    if (snapshot === group.snapshot) return group
    return { ...group, snapshot, transitions: group.transitions.map(transition => this.transition(transition)) }
  }
}
