/**
 * Packs the program as it was at a commit, for the tests in which it runs beside the present one:
 *
 *     node test/support/releases/pack.ts COMMIT
 *
 * The same commit gives the same bytes. It is what `npm pack` would ship of it, without the console, types and comments.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { releaseFolder, repository } from './releases.ts'

const [asked] = process.argv.slice(2)
if (asked === undefined) throw new Error('usage: node test/support/releases/pack.ts COMMIT')
const commit = execFileSync('git', ['-C', repository, 'rev-parse', '--verify', `${asked}^{commit}`], {
  encoding: 'utf8',
}).slice(0, 7)
const folder = mkdtempSync(join(tmpdir(), 'lens-release-'))
try {
  const sources = join(folder, 'package')
  const run = (command: string, ...args: string[]) =>
    execFileSync(command, args, { cwd: sources, stdio: ['ignore', 'inherit', 'inherit'] })
  execFileSync('git', [
    '-C',
    repository,
    'archive',
    '--prefix=package/',
    `--output=${join(folder, 'sources.tar')}`,
    commit,
  ])
  execFileSync('tar', ['xf', 'sources.tar'], { cwd: folder })
  symlinkSync(join(repository, 'node_modules'), join(sources, 'node_modules'))
  const compiler = join(repository, 'node_modules/typescript/bin/tsc')
  run(process.execPath, compiler, '-p', 'tsconfig.build.json', '--declaration', 'false', '--removeComments', 'true')
  const manifest = JSON.parse(readFileSync(join(sources, 'package.json'), 'utf8'))
  const { name, version, type, license, engines, dependencies } = manifest
  // Its members say in the list of the cluster which build they are.
  const packed = { name, version: `${version}-${commit}`, type, license, engines, dependencies }
  writeFileSync(join(sources, 'package.json'), `${JSON.stringify(packed, null, 2)}\n`)
  const archive = join(folder, 'archive.tar')
  const owned = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--mode=u=rwX,go=rX']
  const kept = ['package.json', 'LICENSE', 'config/default.yaml', 'dist']
  run('tar', ...owned, '-cf', archive, ...kept)
  run('gzip', '-9', '-n', archive)
  renameSync(`${archive}.gz`, join(folder, 'done'))
  const target = join(releaseFolder, `${commit}.tar.gz`)
  writeFileSync(target, readFileSync(join(folder, 'done')))
  process.stdout.write(`${target}: ${readFileSync(target).length} bytes\n`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
