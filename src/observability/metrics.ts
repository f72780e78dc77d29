/**
 * What `/metrics` shows. Each node has a registry of its own, so that several nodes in one process never add up. Counters are
 * made here, typed by their labels, and handed to who counts; labels are bounded sets, never a user, handle or session.
 */
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

const requestSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60]
const takeoverSeconds = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 2.5, 3, 5, 10, 30]
const batchSizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]

export type Metrics = ReturnType<typeof createMetrics>

export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    new Counter<Label>({ name, help, labelNames: [...labelNames], registers })
  const gauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    new Gauge<Label>({ name, help, labelNames: [...labelNames], registers })
  const histogram = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    buckets: number[],
  ) => new Histogram<Label>({ name, help, labelNames: [...labelNames], buckets, registers })

  const readings: (() => void)[] = []
  const process_ = observeProcess(registry)
  return {
    /** HTTP requests answered, by route pattern, method and status. */
    httpRequests: counter('lens_http_requests_total', 'HTTP requests answered.', ['route', 'method', 'status']),
    httpRequestSeconds: histogram(
      'lens_http_request_seconds',
      'Time from request to answer; long polls included.',
      ['route'],
      requestSeconds,
    ),
    /** Committed transitions, by machine (`query`, `session`) and event. */
    transitions: counter('lens_transitions_total', 'Transitions committed by this node.', ['machine', 'event']),
    /** Queries that ended here, by outcome. */
    queriesFinished: counter('lens_queries_finished_total', 'Queries that this node brought to an end.', ['outcome']),
    /** Members that this node, as leader, took over from, by cause. */
    takeovers: counter('lens_takeovers_total', 'Dead members whose queries this node, as leader, gave to others.', [
      'cause',
    ]),
    takeoverSeconds: histogram(
      'lens_takeover_seconds',
      'Time from the detection of a death to the claim of its last query.',
      ['cause'],
      takeoverSeconds,
    ),
    takeoverQueries: counter('lens_takeover_queries_total', 'Queries claimed from dead members.', ['cause']),
    /** Times that this node found itself fenced. */
    fenced: counter('lens_fenced_total', 'Times that this node lost its membership and joined again.', []),
    journalBatchSize: histogram('lens_journal_batch_size', 'Queries whose steps shared a commit.', [], batchSizes),
    journalCommitSeconds: histogram(
      'lens_journal_commit_seconds',
      'Time of one commit of the journal.',
      [],
      requestSeconds,
    ),
    storeSeconds: histogram(
      'lens_store_call_seconds',
      'Time of calls to the store, waits for a connection and repetitions included.',
      ['kind'],
      requestSeconds,
    ),
    storePending: gauge('lens_store_calls_pending', 'Calls to the store that have no answer yet.', []),
    storeStatements: counter('lens_store_statements_total', 'Statements sent to the store.', []),
    /** Heartbeats, by outcome: `renewed`, `late`, `failed`. */
    leaseRenewals: counter('lens_lease_renewals_total', 'Heartbeats, by outcome.', ['outcome']),
    leaseRemaining: gauge(
      'lens_lease_remaining_seconds',
      'For how long the lease of this node may still be trusted.',
      [],
    ),
    leader: gauge('lens_leader', '1 while this node is the leader.', []),
    term: gauge('lens_term', 'The newest term that this node knows.', []),
    members: gauge('lens_members', 'Members by state, as this node sees them.', ['state']),
    queued: gauge('lens_lane_queued', 'Queries of this node that wait for a slot.', ['engine', 'lane']),
    running: gauge('lens_lane_running', 'Queries of this node that hold a slot.', ['engine', 'lane']),
    slots: gauge('lens_lane_slots', 'Slots that the leader has given to this node.', ['engine', 'lane']),
    engineHealthy: gauge('lens_engine_healthy', '1 while this node believes that the engine answers.', ['engine']),
    engineProcessDeaths: counter('lens_engine_process_deaths_total', 'Engine processes that died.', ['engine']),
    subscribers: gauge('lens_stream_subscribers', 'Open subscriptions, by topic.', ['topic']),
    connections: gauge('lens_stream_connections', 'Open WebSocket connections of clients.', []),
    buffered: gauge('lens_stream_buffered_bytes', 'Bytes that subscribers have not taken yet.', []),
    frames: counter('lens_stream_frames_total', 'Frames sent to subscribers, by type.', ['type']),
    slowReaders: counter('lens_stream_slow_readers_total', 'Connections closed because their reader was too slow.', []),
    /** By use: `listener`, `peers`, `store`. */
    certificateExpiry: gauge(
      'lens_tls_certificate_expiry_seconds',
      'End of validity of the certificate in use (of the first in its chain to end), in Unix time.',
      ['use'],
    ),
    certificateReloads: counter(
      'lens_tls_loads_total',
      'Certificates read from disk, by use and outcome (`taken`, also once at the start, or `refused`).',
      ['use', 'outcome'],
    ),
    webhookDeliveries: counter(
      'lens_webhook_deliveries_total',
      'Attempts at deliveries to webhooks, by outcome (`delivered`, `failed`, `dead`).',
      ['webhook', 'outcome'],
    ),
    webhookPending: gauge('lens_webhook_pending', 'Deliveries that wait for an attempt, told by the leader.', [
      'webhook',
    ]),
    webhookDead: gauge('lens_webhook_dead', 'Deliveries that were given up, told by the leader.', ['webhook']),
    webhookOldest: gauge('lens_webhook_oldest_pending_seconds', 'For how long the oldest of them waits.', ['webhook']),
    rebalanced: counter(
      'lens_queries_rebalanced_total',
      'Queued queries that this node, as leader, moved to idle members.',
      [],
    ),
    peersCut: counter('lens_peers_cut_total', 'Connections to peers that were cut because they took nothing.', []),
    peerFramesMalformed: counter('lens_peer_frames_malformed_total', 'Frames of peers that could not be read.', []),
    build: gauge('lens_build_info', '1, with the version that runs.', ['version']),
    peers: gauge('lens_peers', 'Peers that this node is connected to.', []),

    contentType: registry.contentType,
    /** `read` is called before every reading of the text: what changes too often to be told is asked for, and costs nothing else. */
    onReading: (read: () => void) => {
      readings.push(read)
    },
    /** The text of `/metrics`. */
    text: () => {
      for (const read of readings) read()
      return registry.metrics()
    },
    /** Ends the observation of the event loop. Safe twice. */
    close: process_.close,
  }
}

/** Memory, processor time and the delay of the event loop, read when asked for. */
function observeProcess(registry: Registry): { close(): void } {
  const registers = [registry]
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  new Gauge({
    name: 'lens_event_loop_delay_seconds',
    help: 'Delay of the event loop since the last reading.',
    labelNames: ['quantile'] as const,
    registers,
    collect() {
      // The histogram counts the timer's own period; what is beyond it is the delay.
      const seconds = (nanoseconds: number) =>
        Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1e9 - 0.01) : 0
      this.set({ quantile: '0.5' }, seconds(delay.percentile(50)))
      this.set({ quantile: '0.99' }, seconds(delay.percentile(99)))
      this.set({ quantile: '1' }, seconds(delay.max))
      delay.reset()
    },
  })
  let seen = performance.eventLoopUtilization()
  new Gauge({
    name: 'lens_event_loop_utilization',
    help: 'Share of the time since the last reading in which the event loop was not idle.',
    registers,
    collect() {
      const now = performance.eventLoopUtilization()
      this.set(performance.eventLoopUtilization(now, seen).utilization)
      seen = now
    },
  })
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss())
    },
  })
  new Gauge({
    name: 'process_cpu_seconds_total',
    help: 'Processor time, user and system.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage()
      this.set((user + system) / 1e6)
    },
  })
  return { close: () => delay.disable() }
}
