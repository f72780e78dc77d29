/** No server or stopped process outlives the process that started it, even when that one is killed and can clean up nothing. */
import { spawn } from 'node:child_process'

/**
 * A shell that outlives us: sends the process `signal` and removes its folder, if it has one, when we have gone without doing
 * so. It goes by itself once the process has ended.
 */
export function endWithUs(pid: number, folder: string | null, signal: 'KILL' | 'QUIT' = 'KILL'): void {
  const script =
    'while kill -0 "$1" 2>/dev/null && kill -0 "$2" 2>/dev/null; do sleep 1; done; ' +
    'kill -0 "$1" 2>/dev/null || { kill -s "$4" "$2" 2>/dev/null; sleep 1; [ -z "$3" ] || rm -rf "$3"; }'
  spawn('sh', ['-c', script, 'watch', String(process.pid), String(pid), folder ?? '', signal], {
    stdio: 'ignore',
    detached: true,
  }).unref()
}
