export type { EffectScope } from './effect.ts'

import { queryMachine } from '../../domain/index.ts'
import { bindEffect, type EffectScope } from './effect.ts'
import { finish } from './finish.ts'
import { follow } from './follow.ts'
import { schedule } from './schedule.ts'
import { settle } from './settle.ts'
import { stop } from './stop.ts'
import { submit } from './submit.ts'

/** The query machine with this node's effects in its slots. */
export function bindEffects(scope: EffectScope) {
  return queryMachine.provide({
    actors: {
      schedule: bindEffect(schedule, scope),
      submit: bindEffect(submit, scope),
      // Without an engine handle there is nothing to be durable first: a short statement then needs one commit less.
      follow: bindEffect(follow, scope, { early: live => live.context.engineHandle === null }),
      finish: bindEffect(finish, scope, { early: () => true }),
      stop: bindEffect(stop, scope),
      // It only says what follows the failure: what follows at once is durable with it, by one commit for both.
      settle: bindEffect(settle, scope, { early: () => true }),
    },
  })
}
