/** An authority of a test's own, and certificates of it; made by `openssl`, since Node reads certificates and makes none. */
import { execFile } from 'node:child_process'
import { copyFile, lstat, rename, symlink, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { promisify } from 'node:util'
import { type Teardown, temporaryFolder } from './folders.ts'
import { requiredProgram } from './packages.ts'

const execute = promisify(execFile)
const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export interface Certificate {
  readonly certificateFile: string
  readonly keyFile: string
}

export class Authority {
  readonly folder: string
  readonly caFile: string
  readonly #openssl: string

  private constructor(openssl: string, folder: string) {
    this.#openssl = openssl
    this.folder = folder
    this.caFile = join(folder, 'ca.pem')
  }

  /** A new one, in a folder that goes with the test. */
  static async create(t: Teardown, name = 'a test'): Promise<Authority> {
    const openssl = await requiredProgram(['openssl'], 'openssl')
    const authority = new Authority(openssl, await temporaryFolder(t, 'certificates'))
    const usage = ['-addext', 'keyUsage=critical,keyCertSign,cRLSign']
    const files = ['-keyout', join(authority.folder, 'ca.key'), '-out', authority.caFile]
    await execute(openssl, [
      'req',
      '-x509',
      ...curve,
      '-subj',
      `/CN=Authority of ${name}`,
      '-days',
      '2',
      ...usage,
      ...files,
    ])
    return authority
  }

  /** A certificate for these hosts; `days` below 0 for one that has ended. */
  async issue(name: string, hosts: readonly string[] = ['127.0.0.1', 'localhost'], days = 2): Promise<Certificate> {
    const at = (ending: string) => join(this.folder, `${name}.${ending}`)
    await execute(this.#openssl, ['req', ...curve, '-subj', `/CN=${name}`, '-keyout', at('key'), '-out', at('csr')])
    const names = hosts.map(host => `${isIP(host) ? 'IP' : 'DNS'}:${host}`)
    await writeFile(at('ext'), `basicConstraints=critical,CA:FALSE\nsubjectAltName=${names.join(',')}\n`)
    const signing = ['-CA', this.caFile, '-CAkey', join(this.folder, 'ca.key'), '-extfile', at('ext')]
    await execute(this.#openssl, [
      'x509',
      '-req',
      '-in',
      at('csr'),
      ...signing,
      '-days',
      String(days),
      '-out',
      at('pem'),
    ])
    return { certificateFile: at('pem'), keyFile: at('key') }
  }
}

/** Puts one certificate in another's place, each file at once, one after the other; a link there becomes one to the new file. */
export async function replace(place: Certificate, by: Certificate): Promise<void> {
  await replaceFile(place.keyFile, by.keyFile)
  await replaceFile(place.certificateFile, by.certificateFile)
}

export async function replaceFile(place: string, by: string): Promise<void> {
  if ((await lstat(place)).isSymbolicLink()) await symlink(by, `${place}.new`)
  else await copyFile(by, `${place}.new`)
  await rename(`${place}.new`, place)
}

/** The serial number of the certificate that a new connection to this port of loopback is shown; nobody judges it. */
export function shownSerial(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()?.serialNumber ?? '')
      socket.destroy()
    })
    socket.once('error', reject)
  })
}
