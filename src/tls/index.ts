export {
  type CredentialFiles,
  type Credentials,
  CredentialsFault,
  HeldCredentials,
  readCredentials,
} from './credentials.ts'
export { databasePlace, databaseTls, type TlsMode } from './database.ts'
export { type ListenerTls, NodeTls, type NodeTlsConfig } from './node-tls.ts'
