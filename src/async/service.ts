/**
 * One contract for everything that lives as long as a node: built, started, stopped.
 * `stop` is safe twice, and before `start`; whoever starts several stops them in reverse.
 */
export interface Service {
  start(): Promise<void>
  stop(): Promise<void>
}

/** Starts services in order. When one fails, those already started are stopped in reverse and the failure is thrown. */
export async function startInOrder(services: readonly Service[]): Promise<void> {
  const started: Service[] = []
  for (const service of services) {
    try {
      await service.start()
      started.push(service)
    } catch (error) {
      await stopInReverse(started)
      throw error
    }
  }
}

/** Stops services in reverse order; all are stopped even when some fail, then the first failure is thrown. */
export async function stopInReverse(services: readonly Service[]): Promise<void> {
  let failure: unknown
  for (const service of [...services].reverse()) {
    try {
      await service.stop()
    } catch (error) {
      failure ??= error
    }
  }
  if (failure !== undefined) throw failure
}
