/** What runs against the Trino that `npm run engines:trino` has started. */
import shared from '../../../ava.config.js'

export default { ...shared, files: ['test/engines/trino-real/*.test.ts'] }
