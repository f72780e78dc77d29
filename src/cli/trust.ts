/** Authorities of one's own, for servers whose certificates no public one has signed. */
import { readFileSync } from 'node:fs'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { UsageError } from './exit-codes.ts'

/** From now on this process believes the authorities in the file (PEM) too, for HTTP and WebSockets alike. */
export function trustAlso(file: string, option: string): void {
  let certificates: string[]
  try {
    certificates = readFileSync(file, 'utf8')
      .split(/(?=-----BEGIN )/)
      .filter(block => block.startsWith('-----BEGIN CERTIFICATE'))
    if (certificates.length === 0) throw new Error('no certificate (PEM) is in it')
    setDefaultCACertificates([...getCACertificates('default'), ...certificates])
  } catch (error) {
    throw new UsageError(`${option}: ${file} cannot be used: ${(error as Error).message}`)
  }
}
