/** The way in: what is asked for depends on how the server knows its users. */
import { useState } from 'preact/hooks'
import { authentication, signIn, useSignIn } from './session.ts'
import { Button, ErrorNote, useLoad } from './ui/index.ts'

export function SignIn() {
  const { ended } = useSignIn()
  const asked = useLoad(async () => (await authentication()).method, [])
  const [failure, setFailure] = useState<unknown>(null)
  const [busy, setBusy] = useState(false)
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget as HTMLFormElement)
    const text = (name: string) => form.get(name)?.toString()
    setBusy(true)
    setFailure(null)
    try {
      const user = text('user')?.trim()
      await signIn({ user, password: text('password'), jwt: text('jwt')?.trim() })
    } catch (error) {
      setFailure(error)
      setBusy(false)
    }
  }
  if (asked.error) {
    return (
      <div class="sign-in">
        <ErrorNote error={asked.error} retry={asked.reload} />
      </div>
    )
  }
  if (!asked.data) return <p class="loading">Asking the node…</p>
  const isToken = asked.data === 'jwt'
  return (
    <form class="sign-in card" onSubmit={submit}>
      <h1>Sign in</h1>
      {ended ? <p role="status">{ended}</p> : null}
      {isToken ? (
        <label class="field">
          Token of your identity provider
          <textarea name="jwt" rows={4} required spellcheck={false} autocomplete="off" />
        </label>
      ) : (
        <label class="field">
          User name
          <input name="user" required autocomplete="username" autocapitalize="none" spellcheck={false} />
        </label>
      )}
      {asked.data === 'basic' ? (
        <label class="field">
          Password
          <input name="password" type="password" required autocomplete="current-password" />
        </label>
      ) : null}
      {failure ? <ErrorNote error={failure} /> : null}
      <Button kind="primary" type="submit" disabled={busy}>
        {busy ? 'Signing in…' : 'Sign in'}
      </Button>
    </form>
  )
}
