/** The limits of the front doors that nobody needs to configure. Those of `limits.*` are in the configuration. */

/** Line and headers of one request. */
export const headerBytesMax = 16_384
/** Nesting of a JSON body. */
export const jsonDepthMax = 64
/** Length of a path parameter; longer ones name nothing that exists. */
export const pathParameterCharactersMax = 256
/** Headers have to be complete after this long, whatever `limits.requestMs` gives the body. */
export const headersMs = 10_000
/** An idle connection is kept this long: longer than the 60 s of the usual proxies, so that they are the ones who close. */
export const keepAliveMs = 75_000
/** A reader of a download who takes nothing for this long is cut off. */
export const stalledReaderMs = 60_000
/** A WebSocket has to authenticate within this time. */
export const authenticateMs = 10_000
/** A request to a node that is still starting waits at least this long for it before it is refused, … */
export const startWaitMs = 1_000
/** … looking again so often. */
export const startCheckMs = 10
/** A listener that nobody has connected to for this long is not missed by anyone, … */
export const quietMs = 100
/** … and whoever goes on connecting for this long does not hear that the node leaves. */
export const unsoughtMs = 2_000
/** An inspector is told of so many of the actors that lived before it came, then of the next when these are on their way. */
export const actorsPresentedAtOnce = 20
/** A closing WebSocket whose peer does not answer is ended after this long. */
export const closeGraceMs = 5_000
/** Above this much unsent data a reader gets no progress frames. */
export const progressBytesMax = 65_536
/** Frames that are due at once share one message up to this many characters. */
export const messageCharactersMax = 262_144
/** Properties of one session or query. */
export const propertiesMax = 256
/** Header `Lens-Columns` is left out when longer. */
export const columnsHeaderBytesMax = 4_096
/** How many faults of one request are named. */
export const faultsNamedMax = 10
