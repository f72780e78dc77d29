/** What a line is about, under the same names everywhere; `node`, `incarnation` and `term` of who speaks are on every line by themselves. */

/** A query, by anything that knows it: `session` is its session's public id. */
export function aboutQuery(query: { readonly handle: string; readonly sessionId: string; readonly epoch: number }) {
  return { handle: query.handle, session: query.sessionId, epoch: query.epoch }
}

/** Another member, or this one in an earlier life: never `node`, which is who speaks. */
export function aboutMember(member: { readonly nodeId: string; readonly incarnation: string }) {
  return { member: member.nodeId, memberIncarnation: member.incarnation }
}
