/** Prepared queries of Lens: made on one node, executed on any. */
import { LensError, type PreparedQueryView } from '../../domain/index.ts'
import type { Principal } from '../../gateway/index.ts'
import type { ApiContext } from '../context.ts'
import { neverAborted } from '../departure.ts'
import {
  apiResult,
  lensApiResult,
  lensPreparedQuery,
  prepareHandle,
  queryHandle,
  queryHandleWithResultSet,
  queryPlan,
} from './answers.ts'
import type { Call } from './call.ts'
import { prefix, type Route } from './index.ts'
import { allPages, eachStillThere, spanOf, whose } from './listing.ts'
import { propertiesOf } from './reading.ts'
import { asynchronous, examined, nameOf, operationOf, statementOf, synchronous } from './submissions.ts'

export function preparedQueryRoutes(route: Route, context: ApiContext): void {
  const { gateway, config, clock } = context
  const baseUrl = `${config.node.advertiseUrl.replace(/\/$/, '')}${prefix}`

  /** Those that the parameters of the call choose: of the caller only, for no other's are listed. */
  async function chosen(call: Call, principal: Principal): Promise<PreparedQueryView[]> {
    const user = whose(call.text('user'), principal)
    if (user !== undefined && user !== '*')
      throw new LensError('FORBIDDEN', "user: nobody may list other users' prepared queries.")
    const { from, to } = spanOf(call, clock.now())
    const name = call.text('queryName')?.trim().toLowerCase() ?? ''
    const all = await allPages(async cursor => {
      const { preparedQueries, nextCursor } = await gateway.listPrepared(principal, config.limits.listMax, cursor)
      return { entries: preparedQueries, nextCursor }
    })
    return all.filter(
      prepared =>
        (prepared.name ?? '').toLowerCase().includes(name) &&
        (from === undefined || Date.parse(prepared.createdAt) >= Date.parse(from)) &&
        (to === undefined || Date.parse(prepared.createdAt) < Date.parse(to)),
    )
  }

  route('POST', '/queryapi/preparedqueries', 'lensAPIResult', async call => {
    const principal = await call.principal()
    const { id } = call.request
    const sql = statementOf(call, context)
    const operation = operationOf(call, ['PREPARE', 'EXPLAIN_AND_PREPARE'])
    propertiesOf(call.text('conf'))
    const prepare = { sql, name: nameOf(call) }
    if (operation === 'PREPARE')
      return lensApiResult(id, 'queryPrepareHandle', prepareHandle(await gateway.prepare(principal, prepare)))
    // First the plan: who is refused it gets no handle, and could destroy nothing.
    const explained = await examined(call, principal, context, 'explain', sql)
    return lensApiResult(id, 'queryPlan', queryPlan(explained, await gateway.prepare(principal, prepare)))
  })

  route('GET', '/queryapi/preparedqueries', 'text', async call => {
    const list = (await chosen(call, await call.principal())).map(prepareHandle)
    return { root: 'queryPrepareHandle', plural: 'queryPrepareHandles', list }
  })

  route('DELETE', '/queryapi/preparedqueries', 'apiResult', async call => {
    const principal = await call.principal()
    const prepared = await chosen(call, principal)
    const handles = prepared.map(({ handle }) => handle)
    const destroyed = await eachStillThere(handles, async handle => {
      await gateway.removePrepared(principal, handle)
      return true
    })
    return apiResult('SUCCEEDED', `Destroyed ${destroyed} prepared queries`)
  })

  route('GET', '/queryapi/preparedqueries/:handle', 'text', async call => ({
    root: 'lensPreparedQuery',
    content: lensPreparedQuery(await gateway.prepared(await call.principal(), call.handle)),
  }))

  route('PUT', '/queryapi/preparedqueries/:handle', 'apiResult', async call => {
    const principal = await call.principal()
    propertiesOf(call.text('conf'))
    await gateway.prepared(principal, call.handle)
    return apiResult('FAILED', 'A prepared query keeps its configuration; an execution may bring another')
  })

  route('DELETE', '/queryapi/preparedqueries/:handle', 'apiResult', async call => {
    const { handle } = call
    await gateway.removePrepared(await call.principal(), handle)
    return apiResult('SUCCEEDED', `Destroy on the query ${handle} is successful`)
  })

  route('POST', '/queryapi/preparedqueries/:handle', 'text', async call => {
    const principal = await call.principal()
    const { handle } = call
    if (operationOf(call, ['EXECUTE', 'EXECUTE_WITH_TIMEOUT'], 'EXECUTE') === 'EXECUTE') {
      const { query } = await gateway.executePrepared(principal, handle, asynchronous(call), null, neverAborted)
      return { root: 'queryHandle', content: queryHandle(query) }
    }
    const { request, signal } = await synchronous(call, principal, context)
    const outcome = await gateway.executePrepared(principal, handle, request, null, signal)
    return { root: 'queryHandleWithResultSet', content: queryHandleWithResultSet(outcome, baseUrl) }
  })
}
