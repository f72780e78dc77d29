/** What the console says that people can do about an error. */
import test from 'ava'
import { adviceFor } from '../../src/console/ui/advice.ts'
import { errorCatalogue } from '../../src/domain/index.ts'

/** Their own detail says what is to be done, the page shows something else in their place, or nothing can be done. */
const silent = [
  'SESSION_INVALID',
  'REQUEST_INVALID',
  'SQL_INVALID',
  'NOT_FOUND',
  'CONFLICT',
  'RESULT_NOT_READY',
  'TOO_LARGE',
  'EXECUTION_FAILED',
  'RECOVERY_FAILED',
]

test('of every error that the server knows somebody has thought what is to be done', t => {
  for (const code of Object.keys(errorCatalogue)) {
    const advice = adviceFor({ code, requestId: 'r1' })
    if (silent.includes(code)) t.is(advice, null, code)
    else t.regex(advice ?? '', /^[A-Z].+\.$/, code)
  }
})

test('who is too fast is told how long to wait; who meets a defect, what to name', t => {
  t.regex(adviceFor({ code: 'RATE_LIMITED', retryAfterMs: 1_200 }) ?? '', /^Wait 2 s/)
  t.regex(adviceFor({ code: 'RATE_LIMITED' }) ?? '', /^Wait a moment/)
  t.regex(adviceFor({ code: 'INTERNAL', requestId: 'abc-1' }) ?? '', /request abc-1\.$/)
  t.is(adviceFor({ code: 'INTERNAL' }), null)
})
