/** A fresh machine: the first test files all miss the same package at once. */
import { execFile } from 'node:child_process'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { temporaryFolder } from '../support/folders.ts'

const helper = new URL('../support/packages.ts', import.meta.url).href
const program = 'lens-ha-program-of-no-package'

/** Stands for Debian's: fails when another runs, and what it installs comes with its second call, as an archive that is unpacked. */
const aptGet = (folder: string) => `#!/bin/sh
mkdir ${folder}/busy || { echo overlapped >> ${folder}/calls; exit 1; }
sleep 0.05
case "$*" in
  *install*) echo install >> ${folder}/calls; printf '#!/bin/sh\\n' > ${folder}/${program}; chmod +x ${folder}/${program}; echo installed > ${folder}/state ;;
  *) echo update >> ${folder}/calls ;;
esac
rmdir ${folder}/busy
`

test('processes that miss the same package install it once, one after the other', async t => {
  if (process.getuid?.() !== 0) {
    const { requiredProgram } = await import(helper)
    await t.throwsAsync(requiredProgram([program], 'some-package'), { message: /apt-get install some-package/ })
    return
  }
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'apt-get'), aptGet(folder))
  await writeFile(join(folder, 'dpkg-query'), `#!/bin/sh\ncat ${folder}/state 2>/dev/null\n`)
  for (const name of ['apt-get', 'dpkg-query']) await chmod(join(folder, name), 0o755)
  const ask = `import { requiredProgram } from '${helper}'; console.log(await requiredProgram(['${program}'], 'some-package'))`
  const env = { ...process.env, PATH: `${folder}:${process.env.PATH}` }
  const found = await Promise.all(
    Array.from({ length: 5 }, () =>
      promisify(execFile)(process.execPath, ['--input-type=module', '--eval', ask], { env }),
    ),
  )
  for (const { stdout } of found) t.is(stdout.trim(), join(folder, program))
  t.deepEqual((await readFile(join(folder, 'calls'), 'utf8')).trim().split('\n'), ['update', 'install'])
})
