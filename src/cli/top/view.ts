/** The screen of `lens top`: a function of what is known and chosen, and of the terminal's size. */
import type { NodeView, QueryView } from '../../client/index.ts'
import { widthOf, wrapped } from '../output/cell.ts'
import { durationText } from '../output/duration.ts'
import { progressBar } from '../output/progress-bar.ts'
import { type Line, line, marked, piece, type Tone } from '../screen/lines.ts'
import { scrolledTo, type TableColumn, tableOf } from '../screen/table.ts'
import { type Choices, type Facts, indexOfSelected, shownNodes, shownQueries, unfinished } from './model.ts'

export interface Size {
  readonly columns: number
  readonly rows: number
}

/** Older than this, what is shown is said to be old, in milliseconds. */
const staleMs = 3_000
const changesShown = 3
/** On fewer columns, progress is a number without a bar. */
const barFrom = 100

export function screenOf(facts: Facts, choices: Choices, size: Size, nowMs: number): readonly Line[] {
  const nodes = nodeLines(facts, choices, size, nowMs)
  const details = choices.details ? detailLines(facts, choices, size) : []
  const head = [headLine(facts, nowMs), ...nodes, ...changeLines(facts), line()]
  const foot = [...details, footLine(facts, choices, size)]
  const height = Math.max(1, size.rows - head.length - foot.length - 2)
  const body = queryLines(facts, choices, size, nowMs, height)
  const filled = [...body, ...Array.from({ length: Math.max(0, height + 2 - body.length) }, () => line())]
  return [...head, ...filled, ...foot].slice(0, size.rows)
}

/** How many queries fit: what a page up or down moves by. */
export function pageLinesOf(facts: Facts, size: Size): number {
  return Math.max(1, size.rows - shownNodes(facts).length - 8)
}

function headLine(facts: Facts, nowMs: number): Line {
  const { endpoint, user, admin, cluster, queriesAtMs } = facts
  const heardMs = nowMs - Math.max(queriesAtMs ?? 0, 0)
  const leader = cluster?.leader ? `${cluster.leader.node} leads, term ${cluster.leader.term}` : 'nobody leads'
  // First of all, so that it is seen on a narrow terminal too: it is about everything else that stands here.
  const age =
    queriesAtMs === null
      ? piece('  asking …', 'dim')
      : heardMs > staleMs
        ? piece(`  no answer for ${durationText(heardMs)}`, 'bad')
        : piece('', 'plain')
  return line(
    piece('Lens HA', 'strong'),
    age,
    `  ${endpoint}  ${user}${admin ? ' (admin)' : ''}  `,
    piece(cluster === null ? '' : leader, cluster?.leader ? 'plain' : 'waiting'),
  )
}

const stateTones: Readonly<Record<NodeView['state'], Tone>> = { alive: 'good', draining: 'waiting', dead: 'bad' }

function nodeLines(facts: Facts, choices: Choices, { columns }: Size, nowMs: number): readonly Line[] {
  const { cluster, clusterAtMs } = facts
  if (!cluster) return []
  const leader = cluster.leader?.node
  const saidMs = Date.parse(cluster.now)
  const leaseText = (node: NodeView) => {
    if (node.state === 'dead') return ''
    // Both times are the database's; what passed since is this machine's.
    const heardMs = nowMs - clusterAtMs
    const leftMs = Date.parse(node.leaseExpiresAt) - saidMs - heardMs
    if (leftMs > 0) return durationText(leftMs)
    return heardMs > staleMs ? '?' : 'renewing'
  }
  const table: readonly TableColumn<NodeView>[] = [
    { name: 'node', rank: 0, text: node => node.node, widthMax: 24 },
    { name: 'state', rank: 1, text: node => node.state, tone: node => stateTones[node.state] },
    { name: 'role', rank: 2, text: node => (node.node === leader && node.state !== 'dead' ? 'leader' : '') },
    { name: 'running', rank: 0, numeric: true, text: node => String(node.running) },
    { name: 'queued', rank: 0, numeric: true, text: node => String(node.queued) },
    { name: 'lease', rank: 3, numeric: true, text: leaseText, widthMax: 12 },
    { name: 'version', rank: 5, text: node => node.version, widthMax: 16 },
    { name: 'address', rank: 4, text: node => node.address },
  ]
  const nodes = shownNodes(facts)
  const { head, lines } = tableOf(table, nodes, nodes, columns)
  const keys = nodes.map(({ incarnation }) => incarnation)
  const at = choices.table === 'nodes' ? indexOfSelected(keys, choices.selected.nodes) : -1
  return [head, ...lines.map((drawn, index) => (index === at ? marked(drawn) : drawn))]
}

function changeLines({ handOvers, failovers }: Facts): readonly Line[] {
  const queries = (count: number) => `${count} ${count === 1 ? 'query' : 'queries'}`
  const changes = [
    ...handOvers.map(({ from, to, count, at }) => ({
      at,
      line: line(piece('↷ ', 'waiting'), `${queries(count)} handed over: ${from} → ${to}`),
    })),
    ...failovers.map(({ node, cause, detectedAt, doneAt, queries: count }) => {
      const took = doneAt === null ? '' : ` in ${durationText(Date.parse(doneAt) - Date.parse(detectedAt))}`
      const what = doneAt === null ? 'its queries are being taken over' : `${queries(count)} taken over${took}`
      return { at: detectedAt, line: line(piece(`✗ ${node} lost`, 'bad'), ` (${cause}): ${what}`) }
    }),
  ].sort((a, b) => (a.at < b.at ? 1 : -1))
  return changes.slice(0, changesShown).map(({ at, line: said }) => ({
    pieces: [...said.pieces, piece(`  ${at.slice(11, 19)}`, 'dim')],
  }))
}

const statusTones: Readonly<Record<string, Tone>> = {
  QUEUED: 'waiting',
  RUNNING: 'good',
  EXECUTED: 'good',
  FAILING: 'bad',
}

function queryLines(facts: Facts, choices: Choices, { columns }: Size, nowMs: number, height: number): readonly Line[] {
  const queries = shownQueries(facts, choices)
  const counts = unfinished
    .map(status => [status, facts.queries.filter(query => query.status === status).length] as const)
    .filter(([, count]) => count > 0)
    .map(([status, count]) => `${count} ${status}`)
  const filter = choices.filter === '' && choices.mode !== 'filtering' ? '' : `  only /${choices.filter}`
  const title = line(
    piece(`${facts.queries.length}${facts.more ? '+' : ''} unfinished`, 'strong'),
    counts.length === 0 ? '' : `  ${counts.join(', ')}`,
    piece(`  by ${choices.sort}`, 'dim'),
    piece(filter, 'accent'),
    choices.mode === 'filtering' ? piece('▏', 'accent') : '',
  )
  if (queries.length === 0) {
    const none =
      facts.queriesAtMs === null
        ? ''
        : facts.queries.length === 0
          ? 'Nothing runs, nothing waits.'
          : 'None of them fits.'
    return [title, line(piece(none, 'dim'))]
  }
  // Ages by the database's clock as the cluster said it, and by this machine's for what passed since.
  const { cluster, clusterAtMs } = facts
  const databaseMs = cluster ? Date.parse(cluster.now) + nowMs - clusterAtMs : null
  const ageText = (query: QueryView) =>
    databaseMs === null ? '' : durationText(databaseMs - Date.parse(query.submittedAt))
  const progressText = ({ progress, queuePosition }: QueryView) =>
    progress.fraction !== null
      ? columns >= barFrom
        ? progressBar(progress.fraction, 8)
        : `${Math.floor(progress.fraction * 100)} %`
      : queuePosition !== null
        ? `position ${queuePosition}`
        : progress.message
  const table: readonly TableColumn<QueryView>[] = [
    { name: 'query', rank: 1, text: query => query.handle.slice(columns >= 80 ? -12 : -8) },
    { name: 'status', rank: 0, text: query => query.status, tone: query => statusTones[query.status] ?? 'plain' },
    { name: 'age', rank: 0, numeric: true, text: ageText },
    { name: 'node', rank: 2, text: query => query.owner.node, widthMax: 16 },
    { name: 'user', rank: 5, text: query => query.user, widthMax: 16 },
    { name: 'try', rank: 6, numeric: true, text: query => (query.attempt > 1 ? String(query.attempt) : '') },
    {
      name: columns >= barFrom ? 'progress' : 'done',
      rank: 3,
      text: progressText,
      widthMax: columns >= barFrom ? 24 : 12,
    },
    { name: 'sql', rank: 4, text: query => query.name ?? query.sql.replace(/\s+/g, ' ').trim() },
  ]
  const at = indexOfSelected(
    queries.map(({ handle }) => handle),
    choices.selected.queries,
  )
  const from = scrolledTo(at, queries.length, height)
  const { head, lines } = tableOf(table, queries, queries.slice(from, from + height), columns)
  const selected = choices.table === 'queries' ? at - from : -1
  return [title, head, ...lines.map((drawn, index) => (index === selected ? marked(drawn) : drawn))]
}

function detailLines(facts: Facts, choices: Choices, { columns, rows }: Size): readonly Line[] {
  const queries = shownQueries(facts, choices)
  const query =
    queries[
      indexOfSelected(
        queries.map(({ handle }) => handle),
        choices.selected.queries,
      )
    ]
  if (!query) return []
  const { handle, engine, lane, owner, attempt, failedAttempts, sql, estimate } = query
  const facts_ = [
    `engine ${engine ?? 'not chosen'}`,
    `${lane} lane`,
    `${owner.node}, epoch ${owner.epoch}`,
    `attempt ${attempt}`,
  ]
  if (estimate) facts_.push(`cost ${estimate.cost}`)
  return [
    line(piece(handle, 'strong')),
    ...wrapped(facts_.join(', '), columns - 2).map(text => line('  ', text)),
    ...failedAttempts
      .slice(-2)
      .map(({ attempt: of, node, code, message }) =>
        line(piece(`attempt ${of} on ${node}: ${code}`, 'bad'), `  ${message}`),
      ),
    ...sql
      .split('\n')
      .flatMap(text => wrapped(text, columns - 2))
      .slice(0, Math.max(1, Math.floor(rows / 3)))
      .map(text => line('  ', text)),
  ]
}

/** The longest that fits is shown. */
const keysHelp = [
  '↑↓ select  Tab nodes/queries  Enter details  s sort  / filter  c cancel  d drain  q quit',
  '↑↓ Tab Enter  s sort  / filter  c cancel  d drain  q quit',
  '/ filter  c cancel  d drain  q quit',
  'q quit',
]

function footLine({ queries }: Facts, { mode, message }: Choices, { columns }: Size): Line {
  if (mode === 'filtering') return line(piece('Type to filter; Enter keeps it, Esc drops it.', 'accent'))
  if (mode === 'browsing') {
    if (message !== '') return line(piece(message, 'waiting'))
    return line(piece(keysHelp.find(keys => widthOf(keys) <= columns) ?? '', 'dim'))
  }
  if (mode.kind === 'drain') {
    return line(piece(`Drain ${mode.node}? It hands its work over and stops. y / n`, 'waiting'))
  }
  const query = queries.find(({ handle }) => handle === mode.handle)
  const what = query ? `  ${query.user}: ${query.name ?? query.sql.replace(/\s+/g, ' ').trim()}` : ''
  return line(piece(`Cancel query ${mode.handle}? y / n`, 'waiting'), piece(what, 'dim'))
}
