export type * from './contract.ts'
export { type GatewayOptions, LensGateway } from './gateway.ts'
export type { ClusterPort, PeerPort } from './ports.ts'
export type { GatewaySettings } from './settings.ts'
