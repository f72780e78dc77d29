/** Sessions of Lens: open, close, their parameters and resources, and who has how many. */
import { createHash } from 'node:crypto'
import { LensError, type SessionView } from '../../domain/index.ts'
import type { Principal } from '../../gateway/index.ts'
import { signedIn } from '../access.ts'
import type { ApiContext } from '../context.ts'
import { apiResult, queryHandle, stringList } from './answers.ts'
import type { Route } from './index.ts'
import { allPages } from './listing.ts'
import { handleText, propertiesOf } from './reading.ts'
import { WireRefusal, wireCodes } from './refusals.ts'

/** What a session answers for parameters that nobody has set; clients ask for some before anything else. */
export const parameterDefaults: Readonly<Record<string, string>> = {
  'lens.query.cancel.on.timeout': 'true',
  'lens.query.enable.persistent.resultset': 'true',
  'lens.query.output.charset.encoding': 'UTF-8',
  'lens.query.output.enable.compression': 'false',
  'lens.query.output.file.extn': '.csv',
  'lens.query.output.write.footer': 'false',
  'lens.query.output.write.header': 'false',
}

/** Resources are properties too, one each, so that two nodes that add one at a time lose none. */
const resourcePrefix = 'lens.session.resource.'
const resourceTypes = ['JAR', 'FILE', 'ARCHIVE']

export function parametersOf({ user, properties }: SessionView): Record<string, string> {
  const whose = { 'lens.session.cluster.user': user, 'lens.session.loggedin.user': user }
  return { ...parameterDefaults, ...whose, ...ownProperties(properties) }
}

/** Without the resources, which are told in another way. */
export function ownProperties(properties: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(properties).filter(([name]) => !name.startsWith(resourcePrefix)))
}

export function sessionRoutes(route: Route, context: ApiContext): void {
  const { gateway, config } = context
  const own = (principal: Principal) => gateway.session(principal, principal.sessionId)

  route('GET', '/session', 'text', () => 'session is up!')

  route('POST', '/session', 'text', async call => {
    const user = call.text('username')?.trim() ?? ''
    if (user === '') throw new WireRefusal(wireCodes.parameterMissing, 'username: required, but missing or blank')
    if (!/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,128}$/u.test(user))
      throw new WireRefusal(wireCodes.parameterInvalid, 'username: expected 1 to 128 printable characters')
    const properties = propertiesOf(call.text('sessionconf'))
    const database = databaseOf(call.text('database'))
    const who = await signedIn(context, call.request, { user, password: call.text('password') })
    const { token } = await gateway.openSession(
      { ...who, database, databaseChecked: true, properties, secretForm: 'uuid' },
      null,
    )
    return { root: 'lensSessionHandle', content: handleText(token) }
  })

  route('DELETE', '/session', 'apiResult', async call => {
    const principal = await call.principal()
    await gateway.closeSession(principal, principal.sessionId, false)
    return apiResult('SUCCEEDED', `Close session with id ${principal.sessionId} succeeded`)
  })

  route('GET', '/session/params', 'text', async call => {
    const parameters = parametersOf(await own(await call.principal()))
    const key = call.text('key')?.trim() ?? ''
    if (key !== '' && !Object.hasOwn(parameters, key))
      throw new LensError('NOT_FOUND', `The session has no parameter ${key}.`)
    const entries = Object.entries(parameters).filter(([name]) => key === '' || name === key)
    return stringList(entries.map(([name, value]) => `${name}=${value}`))
  })

  route('PUT', '/session/params', 'apiResult', async call => {
    const principal = await call.principal()
    const key = call.required('key').trim()
    const value = call.text('value')
    if (value === undefined) throw new WireRefusal(wireCodes.nullValue, 'value: null is not supported')
    if (!/^[\x21-\x7e]{1,255}$/.test(key) || value.includes('\0'))
      throw new WireRefusal(wireCodes.parameterInvalid, 'key: expected printable ASCII without spaces; value: no NUL')
    await gateway.changeSession(principal, principal.sessionId, { properties: { [key]: value } })
    return apiResult('SUCCEEDED', 'Set param succeeded')
  })

  for (const action of ['add', 'delete'] as const)
    route('PUT', `/session/resources/${action}`, 'apiResult', async call => {
      const principal = await call.principal()
      const type = resourceType(call.required('type'))
      const path = call.required('path').trim()
      const text = `type=${type} path=${path}`
      const name = resourcePrefix + createHash('sha256').update(text).digest('hex').slice(0, 32)
      if (action === 'delete' && (await own(principal)).properties[name] === undefined)
        return apiResult('FAILED', `The session has no ${type} ${path}`)
      const properties = { [name]: action === 'add' ? text : null }
      await gateway.changeSession(principal, principal.sessionId, { properties })
      return apiResult('SUCCEEDED', `${action === 'add' ? 'Add' : 'Delete'} resource succeeded`)
    })

  route('GET', '/session/resources/list', 'text', async call => {
    const { properties } = await own(await call.principal())
    const type = call.text('type') ? `type=${resourceType(call.text('type') as string)} ` : ''
    const resources = Object.entries(properties).filter(([name]) => name.startsWith(resourcePrefix))
    return stringList(resources.map(([, text]) => text).filter(text => text.startsWith(type)))
  })

  const sessionsOf = (principal: Principal) =>
    allPages(async cursor => {
      const { sessions, nextCursor } = await gateway.listSessions(principal, config.limits.listMax, cursor)
      return { entries: sessions, nextCursor }
    })

  // Lens lists everybody's to anybody, and takes a listed id for a session: here only the caller's, and an id is not enough.
  route('GET', '/session/sessions', 'text', async call => {
    const principal = await call.principal()
    const active = await allPages(async cursor => {
      const { queries, nextCursor } = await gateway.listQueries(principal, {
        statuses: ['QUEUED', 'LAUNCHED', 'RUNNING', 'EXECUTED', 'FAILING'],
        ...(principal.admin ? { user: '*' } : {}),
        limit: config.limits.listMax,
        ...(cursor ? { cursor } : {}),
      })
      return { entries: queries, nextCursor }
    })
    const list = (await sessionsOf(principal)).map(({ id, user, createdAt, expiresAt }) => ({
      handle: id,
      userName: user,
      activeQueries: active.filter(({ sessionId }) => sessionId === id).map(queryHandle),
      creationTime: Date.parse(createdAt),
      lastAccessTime: Math.max(Date.parse(createdAt), Date.parse(expiresAt) - config.sessions.idleMs),
    }))
    return { root: 'userSessionInfo', plural: 'userSessionInfoes', list }
  })

  route('GET', '/session/sessionsperuser', 'text', async call => {
    const counts = new Map<string, number>()
    for (const { user } of await sessionsOf(await call.principal())) counts.set(user, (counts.get(user) ?? 0) + 1)
    const list = [...counts].map(([user, sessionCount]) => ({ user, sessionCount }))
    return { root: 'sessionPerUserInfo', plural: 'sessionPerUserInfoes', list }
  })

  route('DELETE', '/session/sessions', 'apiResult', async call => {
    await call.principal()
    // The cluster's sweep closes what is idle for too long, whoever asks.
    return apiResult('SUCCEEDED', 'cleared 0 idle sessions: idle sessions expire by themselves')
  })
}

/** Lens's clients name the database `default` when their user named none. */
function databaseOf(text: string | undefined): string | null {
  const name = text?.trim() ?? ''
  if (name === '' || name === 'default') return null
  if (!/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,255}$/u.test(name))
    throw new WireRefusal(wireCodes.parameterInvalid, 'database: expected 1 to 255 printable characters')
  return name
}

function resourceType(text: string): string {
  const type = text.trim().toUpperCase()
  if (!resourceTypes.includes(type))
    throw new WireRefusal(wireCodes.parameterInvalid, `type: expected one of ${resourceTypes.join(', ').toLowerCase()}`)
  return type
}
