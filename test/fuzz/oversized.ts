/** One byte more than `limits.bodyBytesMax` allows, at every operation that takes a body: always 413, before anybody reads it. */
import { faultsOfLens } from './lens-answers.ts'
import { exchange, faultsOfRefusal, type Operation, operationsOf } from './requests.ts'
import { bodyBytesMax, type Target } from './target.ts'

/** Of so many bytes, and right but for that. */
function bodyOf({ isLens }: Operation, bytes: number): Buffer {
  const [head, tail] = isLens
    ? ['--b\r\ncontent-disposition: form-data; name="query"\r\n\r\n', '\r\n--b--\r\n']
    : ['{"sql":"', '"}']
  return Buffer.from(`${head}${'x'.repeat(bytes - head.length - tail.length)}${tail}`)
}

/** Resolves with how many were sent. Rejects with the first that is answered otherwise. */
export async function fuzzOversized(target: Target): Promise<number> {
  const { operations } = await operationsOf(target)
  let sent = 0
  for (const operation of operations.filter(({ method }) => method !== 'GET')) {
    await target.renew()
    const at = operation.path.replaceAll(/\{\w+\}/g, target.others.query)
    // A length says so at once; without one it shows only as it arrives.
    for (const [bytes, framing] of [
      [bodyBytesMax + 1, { 'content-length': `${bodyBytesMax + 1}` }],
      [bodyBytesMax + 1, { 'transfer-encoding': 'chunked' }],
      [bodyBytesMax, { 'transfer-encoding': 'chunked' }],
    ] as const) {
      const answered = await exchange(target.node.url, {
        method: operation.method,
        target: at,
        headers: {
          authorization: `Bearer ${target.token}`,
          accept: 'application/json',
          'content-type': operation.isLens ? 'multipart/form-data; boundary=b' : 'application/json',
          ...framing,
        },
        body: bodyOf(operation, bytes),
      })
      sent++
      const isRefused = answered.status === 413 && answered.text.includes('limits.bodyBytesMax')
      const faults = operation.isLens ? faultsOfLens(answered) : faultsOfRefusal(answered)
      if (isRefused !== bytes > bodyBytesMax) faults.push('its size is not what is judged')
      if (faults.length > 0)
        throw new Error(`${operation.method} ${at}, ${bytes} bytes: ${faults.join('; ')}: ${JSON.stringify(answered)}`)
    }
  }
  return sent
}
