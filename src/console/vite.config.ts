/**
 * How the console is built: assets with hashed names, one chunk for each page and for each large library, and beside each
 * a compressed copy, so that a node never compresses anything while it serves.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, gzipSync, constants as zlib } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url))

function compressedCopies(): Plugin {
  return {
    name: 'compressed-copies',
    apply: 'build',
    writeBundle({ dir = '' }) {
      for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
        if (!/\.(html|js|css|svg|json)$/.test(name)) continue
        const bytes = readFileSync(join(dir, name))
        const params = { [zlib.BROTLI_PARAM_QUALITY]: 11, [zlib.BROTLI_PARAM_SIZE_HINT]: bytes.length }
        writeFileSync(join(dir, `${name}.br`), brotliCompressSync(bytes, { params }))
        writeFileSync(join(dir, `${name}.gz`), gzipSync(bytes, { level: 9 }))
      }
    },
  }
}

export default defineConfig({
  root: folder('.'),
  base: '/',
  publicDir: folder('public'),
  appType: 'spa',
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  build: {
    outDir: folder('../../dist/console'),
    emptyOutDir: true,
    target: ['es2022', 'chrome123', 'firefox121', 'safari17.5'],
    // Nothing inline: the content security policy of a node allows only files of its own.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    manifest: 'manifest.json',
    reportCompressedSize: false,
    // elkjs alone is larger than the usual limit; it has a chunk of its own and loads when a chart is drawn.
    chunkSizeWarningLimit: 2_000,
  },
  plugins: [compressedCopies()],
})
