/** What runs against the client that `npm run lens:clients` has fetched. */
import shared from '../../../../ava.config.js'

export default { ...shared, files: ['test/api/lens/real-clients/*.test.ts'] }
