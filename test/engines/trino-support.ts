/** Opens Trino engines for tests; what they start ends with the test. */
import type { ExecutionContext } from 'ava'
import { systemClock, systemRandom } from '../../src/async/index.ts'
import type { EngineHandle } from '../../src/domain/index.ts'
import type { EngineDriver, Run, StatementRequest } from '../../src/engines/index.ts'
import { type TrinoConfiguration, TrinoDriver } from '../../src/engines/trino/driver.ts'
import { valuesOf } from '../conformance/engines.ts'
import { startTrino, type TrinoOptions, type TrinoServer } from '../support/trino/index.ts'

/** `url`: with the catalog and the schema where there are to be some. */
export async function openTrino(
  t: Pick<ExecutionContext, 'teardown'>,
  url: string,
  more: Partial<TrinoConfiguration> = {},
): Promise<EngineDriver> {
  const note = () => {}
  const driver = new TrinoDriver(
    'trino',
    { driver: 'trino', url, slots: { light: 4, heavy: 2 }, ...more },
    { clock: systemClock, random: systemRandom, logger: { info: note, warn: note, error: note } },
  )
  t.teardown(() => driver.stop())
  await driver.start()
  return driver
}

export const homeOf = ({ url }: TrinoServer) => `${url}/memory/main`

/** A server, the driver of an owner, and that of the node that takes over. */
export async function trinoStage(t: ExecutionContext, options: TrinoOptions = {}) {
  const server = await startTrino(t, { waitMs: 200, ...options })
  const [owner, claimant] = [await openTrino(t, homeOf(server)), await openTrino(t, homeOf(server))]
  return { server, owner, claimant }
}

/** What was durable when the owner died. */
export class Durable {
  readonly rows: string[] = []
  handle: EngineHandle | null = null

  begin(driver: EngineDriver, asked: StatementRequest): Promise<Run> {
    return driver.submit(asked, async handle => {
      this.handle = handle
    })
  }

  /** The first column of all rows, when a claimant has gone on to the end. */
  async rest(run: Run | null): Promise<string[]> {
    if (!run) throw new Error('it is not there any more')
    const rows = this.rows.slice(0, run.storedRows ?? 0)
    for await (const batch of run.rows()) for (const [value] of valuesOf(batch)) rows.push(String(value))
    return rows
  }
}
