export type { ChannelSettings } from './channel.ts'
export { WebhookDuty, type WebhookDutyOptions } from './duty.ts'
export type { EndedQuery, WebhookMessage } from './message.ts'
