/** The Machines page: the statecharts as the server defines them, of all machines or of one. */
import { segmentsOf, usePath } from '../routes.ts'
import { useClient } from '../session.ts'
import { ErrorNote, Page, useLoad } from '../ui/index.ts'
import { AllMachines } from './all.tsx'
import { warmLayout } from './layout-engine.ts'
import './machines.css'
import { QueryMachine } from './query-machine.tsx'
import { SessionMachine } from './session-machine.tsx'

/** The layout engine: loaded while nobody waits, as the node that serves it may be gone when it is needed. */
export const warm = warmLayout

/** Ids of sessions are random UUIDs (version 4), handles of queries ordered ones (version 7). */
const isSession = (id: string) => /^[0-9a-f]{8}-[0-9a-f]{4}-4/i.test(id)

export default function MachinesPage() {
  const client = useClient()
  const id = segmentsOf(usePath())[1]
  const { data: machines, error, reload } = useLoad(() => client.machines(), [client])
  const title = id === undefined ? 'Machines' : isSession(id) ? 'Machine of a session' : 'Machine of a query'
  return (
    <Page wide title={title} actions={id === undefined ? null : <a href="/machines">All machines</a>}>
      {error ? <ErrorNote error={error} retry={reload} /> : null}
      {!machines ? (
        error ? null : (
          <p class="loading">Asking for the statecharts…</p>
        )
      ) : id === undefined ? (
        <AllMachines machines={machines} />
      ) : isSession(id) ? (
        <SessionMachine key={id} id={id} machine={machines.session} />
      ) : (
        <QueryMachine key={id} handle={id} machine={machines.query} />
      )}
    </Page>
  )
}
