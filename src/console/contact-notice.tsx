/** Says below the header that no node answers, and what that means for what is under way. */
import { contact } from './contact.ts'
import { useStore } from './store.ts'

export function ContactNotice() {
  const state = useStore(contact)
  return (
    <div role="status">
      {state === 'lost' ? (
        <p class="frame-notice" data-contact="lost">
          <span>
            No node answers. What was submitted is kept and runs on where nodes do; this page tries again by itself, so
            leave it open.
          </span>
        </p>
      ) : null}
    </div>
  )
}
