/** What a query gave: rows, a plan, an estimate, or the reason why there is nothing. */
import type { QueryView } from '../../client/index.ts'
import { clusterNow } from '../cluster-clock.ts'
import { Advice, Empty, Time } from '../ui/index.ts'
import { Downloads } from './download.tsx'
import { Grid } from './grid.tsx'

export function Result({ query }: { readonly query: QueryView }) {
  const { outcome, error, operation, plan, estimate, result, status } = query
  if (error) {
    return (
      <div class="note" role="alert" data-error={error.code}>
        <strong>{error.code}</strong>
        <pre>{error.message}</pre>
        <Advice fault={error} />
      </div>
    )
  }
  if (outcome === 'CANCELED') return <Empty title="The query was cancelled." />
  if (outcome !== 'SUCCESSFUL') return <Empty title="No rows yet">They can be read once the query has ended.</Empty>
  if (plan !== null) {
    return (
      <section class="card plan" tabIndex={0} aria-label="Plan">
        <pre>{plan}</pre>
      </section>
    )
  }
  if (operation === 'estimate' && estimate) {
    return (
      <dl class="card figures">
        <Figure name="Cost" value={estimate.cost.toLocaleString()} />
        <Figure name="Rows" value={estimate.rows?.toLocaleString() ?? 'unknown'} />
        <Figure name="Lane" value={estimate.lane} />
      </dl>
    )
  }
  if (status === 'CLOSED') return <Empty title="The rows were dropped." />
  if (!result || result.columns.length === 0) return <Empty title="The statement gave no rows." />
  const isExpired = result.expiresAt !== null && Date.parse(result.expiresAt) < clusterNow()
  if (isExpired) return <Empty title="The rows have expired.">Run the query again to see them.</Empty>
  return (
    <section class="card result" aria-label="Result">
      <div class="result-head">
        <span data-row-count={result.rowCount}>
          <b>{result.rowCount.toLocaleString()}</b> {result.rowCount === 1 ? 'row' : 'rows'}
        </span>
        <span class="quiet">{bytesText(result.bytes)}</span>
        {result.expiresAt ? (
          <span class="quiet">
            kept until <Time at={result.expiresAt} />
          </span>
        ) : null}
        <Downloads query={query} />
      </div>
      <Grid key={query.handle} handle={query.handle} columns={result.columns} rowCount={result.rowCount} />
    </section>
  )
}

function Figure({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}

function bytesText(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`
  if (bytes < 1_000_000) return `${(bytes / 1_000).toFixed(1)} kB`
  return bytes < 1_000_000_000 ? `${(bytes / 1_000_000).toFixed(1)} MB` : `${(bytes / 1_000_000_000).toFixed(2)} GB`
}
