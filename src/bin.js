#!/usr/bin/env node
/**
 * The `lens` command, in a clone and in the installed package alike: a clone runs the sources, the package what was compiled
 * from them. Plain JavaScript for old versions of Node too, since its other purpose is to find Node 24 where the system's is older:
 * npm has put one beside this package, and only `npx` and scripts of npm look there by themselves.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const needed = 24

if (Number(process.versions.node.split('.')[0]) >= needed) {
  const source = new URL('./main.ts', import.meta.url)
  await import(existsSync(source) ? source.href : new URL('../dist/main.js', import.meta.url).href)
} else runWith(nodeBeside())

/** Node's binary from the package that npm installed for this platform; undefined where there is none. */
function nodeBeside() {
  try {
    const manifest = createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/package.json`)
    return join(dirname(manifest), 'bin', 'node')
  } catch {
    return undefined
  }
}

/** @param {string | undefined} node */
function runWith(node) {
  if (node === undefined) {
    process.stderr.write(`lens needs Node ${needed} or later; this is ${process.version}\n`)
    process.exit(2)
  }
  const child = spawn(node, [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
  })
  // A terminal signals the whole group, a supervisor only this process: the child gets it in both cases, and decides.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(name)
    process.kill(process.pid, signal)
  })
}
