export type * from './contract.ts'
export { LensGateway, type GatewayOptions } from './gateway.ts'
export type { ClusterPort, PeerPort } from './ports.ts'
export type { GatewaySettings } from './settings.ts'
