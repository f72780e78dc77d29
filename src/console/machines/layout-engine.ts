/** The layout engine, elkjs, in a worker of its own: loaded when the first chart is drawn, or before while nobody waits. */
import type { ELK } from 'elkjs/lib/elk-api.js'
import type { ChartGraph } from './chart-graph.ts'
import { type Chart, chartOf, elkGraphOf, type Measure } from './layout.ts'

interface Started {
  readonly engine: ELK
  /** Rejected when the worker could not be loaded, or broke: it will not answer any more. */
  readonly broken: Promise<never>
}

let starting: Promise<Started> | null = null

/** Starts the worker; one that could not be started is started anew by the next chart. */
function started(): Promise<Started> {
  starting ??= start().catch(error => {
    starting = null
    throw error
  })
  return starting
}

async function start(): Promise<Started> {
  const [{ default: Engine }, { default: url }] = await Promise.all([
    import('elkjs/lib/elk-api.js'),
    import('elkjs/lib/elk-worker.min.js?url'),
  ])
  const worker = new Worker(url)
  const broken = new Promise<never>((_, reject) => {
    worker.addEventListener('error', event => {
      starting = null
      reject(new Error(`The layout engine could not be loaded: ${event.message ?? 'its node does not answer'}`))
    })
  })
  broken.catch(() => {})
  return { engine: new Engine({ workerFactory: () => worker }), broken }
}

/** Loads the layout engine before it is needed; done when the worker has answered, and so has all of its code. */
export async function warmLayout(): Promise<void> {
  const { engine, broken } = await started()
  await Promise.race([engine.layout({ id: 'nothing' }), broken])
}

const known = new WeakMap<ChartGraph['machine'], Promise<Chart>>()

/** One definition is laid out once. */
export function layOut(graph: ChartGraph, measure: Measure): Promise<Chart> {
  const { machine } = graph
  const found = known.get(machine)
  if (found) return found
  const laid = started().then(async ({ engine, broken }) =>
    chartOf(graph, await Promise.race([engine.layout(elkGraphOf(graph, measure)), broken])),
  )
  known.set(machine, laid)
  laid.catch(() => known.delete(machine))
  return laid
}
