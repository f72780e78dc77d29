/** The numbers of the configuration that the gateway lives by. */
export interface GatewaySettings {
  readonly admins: readonly string[]
  readonly sessionIdleMs: number
  /** 0 = unlimited. */
  readonly sessionsPerUser: number
  readonly sqlBytesMax: number
  readonly propertiesBytesMax: number
  /** Rows in one answer of `GET …/results`. */
  readonly pageRowsMax: number
  /** How often open subscriptions and long polls are compared with the database. */
  readonly revalidateMs: number
}
