/** A row of changes that two processes agree on. */
import type { DraftRecord } from './store.js'

/** The n-th change: a record, or its removal. */
export function changeOf(n: number): { readonly id: string; readonly record?: DraftRecord } {
  const id = `d${n * 7 % 11}`
  if (n % 3 === 2) return { id }
  return { id, record: { id, path: `folder/${id}`, size: n, state: 'closed', complete: true, facts: {}, content: 'A'.repeat(n * 7919 % 90_000) } }
}
