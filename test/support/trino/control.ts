/** What a test says to the process of the Trino server, and what it hears of it. */

export type RequestKind = 'post' | 'queued' | 'executing' | 'cancel' | 'segment' | 'ack' | 'query' | 'info' | 'node'

/** Which requests are meant; what is left out may be anything. */
export interface Match {
  readonly method?: string
  readonly kind?: RequestKind
  readonly token?: number
  readonly queryId?: string
  /** Part of the statement's text. */
  readonly sql?: string
}

export type FaultKind =
  /** Answered so, instead of being handled. */
  | { readonly what: 'status'; readonly status: number; readonly retryAfter?: number }
  /** Handled, and then the connection is cut without an answer. */
  | { readonly what: 'lost' }
  /** Handled; the connection is cut in the middle of the answer. */
  | { readonly what: 'half' }
  /** Not handled: the connection is cut. */
  | { readonly what: 'cut' }
  /** Handled, answered so much later. */
  | { readonly what: 'slow'; readonly ms: number }
  /** Not handled before it is released. */
  | { readonly what: 'hold' }
  /** Handled; not answered before it is released. */
  | { readonly what: 'hold-answer' }

/** `times`: 1 unless set; -1: always. */
export type Fault = FaultKind & { readonly match?: Match; readonly times?: number }

export interface HistoryEntry {
  readonly n: number
  readonly method: string
  readonly path: string
  readonly kind: RequestKind | null
  readonly queryId: string | null
  readonly token: number | null
  readonly sql: string | null
  readonly headers: Readonly<Record<string, string>>
  /** null: not answered (yet). */
  readonly status: number | null
}

export interface QueryRecord {
  readonly id: string
  readonly sql: string
  readonly user: string
  readonly catalog: string | null
  readonly schema: string | null
  readonly session: Readonly<Record<string, string>>
  readonly state: string
  /** How often its SQL was begun: at most once. */
  readonly began: number
  readonly cancelled: boolean
  readonly pagesServed: number
  readonly error: string | null
}

export interface TrinoOptions {
  /** By the authority that the test has made. */
  readonly tls?: boolean
  /** User and password; without them nobody is asked. */
  readonly passwords?: Readonly<Record<string, string>>
  /** Token and user. */
  readonly tokens?: Readonly<Record<string, string>>
  /** For clients that ask for an encoding; plain rows unless set. */
  readonly spooling?: 'inline' | 'spooled' | 'mixed'
  readonly pageRows?: number
  /** A query that nobody asks for ends after this. */
  readonly clientTimeoutMs?: number
  /** A request waits so long for something to say. */
  readonly waitMs?: number
}

export interface StartedOptions extends TrinoOptions {
  readonly key?: string
  readonly cert?: string
}

export type Command =
  | { readonly do: 'start'; readonly options: StartedOptions }
  | { readonly do: 'sql'; readonly text: string }
  | { readonly do: 'fault'; readonly fault: Fault }
  | { readonly do: 'release' | 'clear' | 'history' | 'queries' | 'restart' | 'refuse' | 'accept' }
  | { readonly do: 'asked'; readonly match: Match; readonly count: number }

export interface CommandMessage {
  readonly id: number
  readonly command: Command
}

export interface AnswerMessage {
  readonly id: number
  readonly value?: unknown
  readonly error?: string
}
