/**
 * The whole result as a file. It is fetched with the token in a header, never in an address; where the browser can, it is
 * written to the file as it arrives, else it is kept until it is whole.
 */
import { useState } from 'preact/hooks'
import type { DownloadFormat, QueryView } from '../../client/index.ts'
import { useClient } from '../session.ts'
import { Button, textOf, toast } from '../ui/index.ts'

const formats: readonly { readonly format: DownloadFormat; readonly title: string; readonly ending: string }[] = [
  { format: 'csv', title: 'CSV', ending: 'csv' },
  { format: 'ndjson', title: 'JSON lines', ending: 'jsonl' },
  { format: 'arrow', title: 'Arrow', ending: 'arrows' },
]

/** Results above this size go to the file directly where that is possible. */
const directBytes = 32 * 1024 * 1024

interface FilePicker {
  showSaveFilePicker?(options: { suggestedName: string }): Promise<{ createWritable(): Promise<WritableStream> }>
}

export function Downloads({ query }: { readonly query: QueryView }) {
  const client = useClient()
  const [busy, setBusy] = useState<DownloadFormat | null>(null)
  const download = async (format: DownloadFormat, ending: string) => {
    const name = `${(query.name ?? query.handle).replace(/[^\w.-]+/g, '-')}.${ending}`
    setBusy(format)
    try {
      const picker = (window as FilePicker).showSaveFilePicker
      if (picker && (query.result?.bytes ?? 0) > directBytes) {
        // Asked for first: the browser allows it only as the answer to a click.
        const file = await picker.call(window, { suggestedName: name })
        await client
          .handle(query.handle)
          .download(format)
          .pipeTo(await file.createWritable())
      } else save(await new Response(client.handle(query.handle).download(format)).blob(), name)
      toast(`${name} is complete.`)
    } catch (error) {
      const declined = error instanceof DOMException && error.name === 'AbortError'
      if (!declined) toast(`The download failed: ${textOf(error)}`, 'bad')
    } finally {
      setBusy(null)
    }
  }
  return (
    <fieldset class="downloads">
      <legend class="visually-hidden">Download</legend>
      <span aria-hidden="true">Download</span>
      {formats.map(({ format, title, ending }) => (
        <Button
          key={format}
          small
          disabled={busy !== null}
          aria-label={`Download as ${title}`}
          onClick={() => void download(format, ending)}
        >
          {busy === format ? '…' : title}
        </Button>
      ))}
    </fieldset>
  )
}

function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob)
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  // Later: some browsers begin to read only after this turn.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
