/** Makes the paths of certificates absolute, judges which belong together, and reads them: a fault is told before anything starts. */
import { resolve } from 'node:path'
import { type CredentialFiles, CredentialsFault, readCredentials } from '../tls/index.ts'
import type { Merge } from './merge.ts'
import type { Config } from './schema.ts'
import { tooOpen } from './secret-file.ts'

type Writable<T> = { -readonly [Key in keyof T]: T[Key] extends object ? Writable<T[Key]> : T[Key] }
type Fault = (key: string, message: string) => void

const fileKeys = ['certificateFile', 'keyFile', 'caFile'] as const

/** Before the advertised address is derived, which says `https` with a certificate. */
export function deriveTls(config: Writable<Pick<Config, 'tls' | 'store'>>, cwd: string): void {
  for (const files of [config.tls, config.tls.peers, config.store.tls] as Writable<CredentialFiles>[])
    for (const key of fileKeys) if (files[key] !== undefined) files[key] = resolve(cwd, files[key])
  const { certificateFile, caFile } = config.store.tls
  config.store.tls.mode ??= (certificateFile ?? caFile) === undefined ? 'off' : 'verified'
}

export function judgeTls(config: Pick<Config, 'tls' | 'store' | 'node'>, merge: Merge, fault: Fault): void {
  const { tls, store, node } = config
  judgeFiles('tls', tls, merge, fault)
  judgeFiles('tls.peers', tls.peers, merge, fault)
  judgeFiles('store.tls', store.tls, merge, fault)
  const listens = tls.certificateFile !== undefined
  if (listens && !node.advertiseUrl.startsWith('https:') && !merge.isFaulty('node.advertiseUrl'))
    fault('node.advertiseUrl', `expected an https URL beside tls.certificateFile, found "${node.advertiseUrl}"`)
  if (tls.clientAuthentication === 'required' && (!listens || tls.caFile === undefined))
    fault(
      'tls.clientAuthentication',
      'requires tls.certificateFile, and tls.caFile: anybody has a certificate of some authority',
    )
  if (tls.peers.clientAuthentication === 'required' && (!listens || (tls.peers.caFile ?? tls.caFile) === undefined))
    fault('tls.peers.clientAuthentication', 'requires tls.certificateFile, and tls.peers.caFile or tls.caFile')
  if (store.tls.mode !== 'off' && store.url.startsWith('sqlite:'))
    fault('store.tls.mode', 'an SQLite store has no connection: expected off')
  if (store.tls.mode === 'off' && fileKeys.some(key => store.tls[key] !== undefined))
    fault('store.tls.mode', 'off, although files are named beside it: expected encrypted or verified')
}

function judgeFiles(group: string, files: CredentialFiles, merge: Merge, fault: Fault): void {
  try {
    readCredentials(files)
  } catch (error) {
    if (!(error instanceof CredentialsFault)) throw error
    fault(`${group}.${error.which}`, error.message)
  }
  const warning = files.keyFile === undefined ? null : tooOpen(files.keyFile, '/')
  if (warning !== null) merge.warnings.push(`${group}.keyFile: ${warning}`)
}
