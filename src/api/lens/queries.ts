/** Queries of Lens: submit, list, poll, cancel. Their rows are in `results.ts`. */
import type { QueryView } from '../../domain/index.ts'
import type { Principal } from '../../gateway/index.ts'
import type { ApiContext } from '../context.ts'
import { neverAborted } from '../departure.ts'
import {
  apiResult,
  lensApiResult,
  lensQuery,
  queryCost,
  queryHandle,
  queryHandleWithResultSet,
  queryPlan,
} from './answers.ts'
import { prefix, type Route } from './index.ts'
import { chosenQueries, eachStillThere } from './listing.ts'
import { propertiesOf } from './reading.ts'
import { ownProperties } from './sessions.ts'
import { asynchronous, examined, operationOf, statementOf, synchronous } from './submissions.ts'

const operations = ['ESTIMATE', 'EXECUTE', 'EXPLAIN', 'EXECUTE_WITH_TIMEOUT'] as const

export function queryRoutes(route: Route, context: ApiContext): void {
  const { gateway, config } = context
  const baseUrl = `${config.node.advertiseUrl.replace(/\/$/, '')}${prefix}`

  /** Without what the session keeps for itself. */
  async function configured(principal: Principal, queries: readonly QueryView[]) {
    const handles = queries.map(({ handle }) => handle)
    const found = await gateway.queryProperties(principal, handles)
    return new Map([...found].map(([handle, properties]) => [handle, ownProperties(properties)]))
  }

  route('GET', '/queryapi', 'text', () => 'Queryapi is up')

  route('POST', '/queryapi/queries', 'lensAPIResult', async call => {
    const principal = await call.principal()
    const { id } = call.request
    const sql = statementOf(call, context)
    switch (operationOf(call, operations)) {
      case 'EXECUTE': {
        // As Lens, which looks at the statement before it accepts it.
        const request = { ...asynchronous(call), sql, checked: true }
        const { query } = await gateway.submit(principal, request, null, neverAborted)
        return lensApiResult(id, 'queryHandle', queryHandle(query))
      }
      case 'EXECUTE_WITH_TIMEOUT': {
        const { request, signal } = await synchronous(call, principal, context)
        const outcome = await gateway.submit(principal, { ...request, sql }, null, signal)
        return lensApiResult(id, 'queryHandleWithResultSet', queryHandleWithResultSet(outcome, baseUrl))
      }
      case 'EXPLAIN':
        return lensApiResult(id, 'queryPlan', queryPlan(await examined(call, principal, context, 'explain', sql)))
      case 'ESTIMATE':
        return lensApiResult(id, 'queryCostTO', queryCost(await examined(call, principal, context, 'estimate', sql)))
    }
  })

  route('GET', '/queryapi/queries', 'text', async call => {
    const queries = await chosenQueries(call, await call.principal(), context)
    return { root: 'queryHandle', plural: 'queryHandles', list: queries.map(queryHandle) }
  })

  route('GET', '/queryapi/queries/detail', 'text', async call => {
    const principal = await call.principal()
    const queries = await chosenQueries(call, principal, context)
    const properties = await configured(principal, queries)
    const list = queries.map(query => lensQuery(query, properties.get(query.handle)))
    return { root: 'lensQuery', plural: 'lensQueries', list }
  })

  route('DELETE', '/queryapi/queries', 'apiResult', async call => {
    const principal = await call.principal()
    const queries = await chosenQueries(call, principal, context, true)
    const handles = queries.map(({ handle }) => handle)
    const cancelled = await eachStillThere(handles, async handle => !(await gateway.cancel(principal, handle)).finished)
    if (cancelled === queries.length) return apiResult('SUCCEEDED', `Cancelled ${cancelled} queries`)
    const message = `Cancelled ${cancelled} of ${queries.length} queries; the others had finished`
    return apiResult(cancelled === 0 ? 'FAILED' : 'PARTIAL', message)
  })

  route('GET', '/queryapi/queries/:handle', 'text', async call => {
    const query = await gateway.poll(call.token, call.handle, null, neverAborted)
    const properties = await configured(await call.principal(), [query])
    return { root: 'lensQuery', content: lensQuery(query, properties.get(query.handle)) }
  })

  route('PUT', '/queryapi/queries/:handle', 'apiResult', async call => {
    const principal = await call.principal()
    propertiesOf(call.text('conf'))
    const { status } = await gateway.query(principal, call.handle)
    return apiResult('FAILED', `The query is ${status}: its configuration was made durable when it was accepted`)
  })

  route('DELETE', '/queryapi/queries/:handle', 'apiResult', async call => {
    const { handle } = call
    const { finished } = await gateway.cancel(await call.principal(), handle)
    if (finished) return apiResult('FAILED', `Cancel on the query ${handle} failed: it had finished`)
    return apiResult('SUCCEEDED', `Cancel on the query ${handle} is successful`)
  })
}
