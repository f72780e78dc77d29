/** Rows of queries: made durable as they arrive, read in any page, from any node, in three forms. The only door to this folder. */
export { removeResultFiles } from './directory.ts'
export { removeLeftovers } from './leftovers.ts'
export { decodePage, encodePage } from './page.ts'
export { ResultReader, type ResultReaderOptions, type StreamFormat, type StreamRequest } from './reader.ts'
export {
  FencedError,
  heldBytesMax,
  ResultTooLargeError,
  ResultWriter,
  type ResultWriterOptions,
  type WrittenResult,
} from './writer.ts'
