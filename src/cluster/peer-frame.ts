/**
 * What arrives from a peer, checked before anybody believes it: a peer of another version, or a defect there, must not throw
 * here. A frame is one JSON array of messages; those that are not understood are left out and counted.
 */
import { logLevelMsMax, logLevels } from '../domain/index.ts'
import type { Interest, PeerMessage } from './bus-contract.ts'

export interface ParsedFrame {
  readonly messages: readonly PeerMessage[]
  readonly malformed: number
}

type Fields = Readonly<Record<string, unknown>>

/** As in a body of the API. What lies deeper is no view of ours, and writing it out for a subscriber would exhaust the stack. */
const nestingMax = 64

export function parsePeerFrame(text: string): ParsedFrame {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return { messages: [], malformed: 1 }
  }
  if (!Array.isArray(parsed)) return { messages: [], malformed: 1 }
  const messages = parsed.filter(isPeerMessage)
  return { messages, malformed: parsed.length - messages.length }
}

function isPeerMessage(value: unknown): value is PeerMessage {
  if (!isFields(value)) return false
  switch (value.type) {
    case 'hello':
      return isText(value.node) && isText(value.incarnation) && isListOf(value.interests, isInterest)
    case 'interest':
      return isListOf(value.add, isInterest) && isListOf(value.remove, isInterest)
    case 'frames':
      return isListOf(value.frames, isQueryFrame)
    case 'progress':
      return isListOf(value.frames, isProgressFrame)
    case 'look':
      return value.handles === undefined || isListOf(value.handles, isText)
    case 'cluster-changed':
      return true
    case 'cancel':
      return isListOf(value.handles, isText)
    case 'session-closed':
      return isListOf(value.ids, isText)
    case 'ownership':
      return isListOf(value.users, isText) && isFields(value.change) && isOwnershipChange(value.change)
    case 'suspected':
      return isText(value.incarnation)
    case 'store':
      return typeof value.reached === 'boolean'
    case 'log-level':
      return isText(value.id) && (value.change === null || (isFields(value.change) && isLogLevelChange(value.change)))
    case 'log-level-is':
      return isText(value.id) && isFields(value.is) && isLogLevelView(value.is)
    case 'goodbye':
      return value.reason === 'draining' || value.reason === 'stopping'
    default:
      return false
  }
}

function isQueryFrame(value: unknown): boolean {
  return (
    isFields(value) &&
    isText(value.handle) &&
    isText(value.sessionId) &&
    isText(value.user) &&
    Number.isInteger(value.version) &&
    Number.isInteger(value.epoch) &&
    isFields(value.query) &&
    isShallow(value.query)
  )
}

function isProgressFrame(value: unknown): boolean {
  return (
    isFields(value) &&
    isText(value.handle) &&
    isText(value.sessionId) &&
    isFields(value.progress) &&
    isShallow(value.progress)
  )
}

function isOwnershipChange(change: Fields): boolean {
  return (
    (change.kind === 'takeover' || change.kind === 'hand-over') &&
    isText(change.from) &&
    isText(change.to) &&
    Number.isInteger(change.count) &&
    isListOf(change.handles, isText) &&
    isText(change.at)
  )
}

function isLogLevelChange({ level, forMs }: Fields): boolean {
  const isTime = Number.isInteger(forMs) && Number(forMs) > 0 && Number(forMs) <= logLevelMsMax
  return (level === null || isLogLevel(level)) && (forMs === null || isTime)
}

function isLogLevelView({ node, level, configured, revertsAt }: Fields): boolean {
  return isText(node) && isLogLevel(level) && isLogLevel(configured) && (revertsAt === null || isText(revertsAt))
}

function isLogLevel(value: unknown): boolean {
  return logLevels.some(level => level === value)
}

function isInterest(value: unknown): value is Interest {
  return isFields(value) && (value.kind === 'query' || value.kind === 'session') && isText(value.id)
}

function isShallow(value: unknown, levels = nestingMax): boolean {
  if (typeof value !== 'object' || value === null) return true
  return levels > 0 && Object.values(value).every(inner => isShallow(inner, levels - 1))
}

function isListOf(value: unknown, is: (element: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(is)
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
