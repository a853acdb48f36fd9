/** Resource policies as the API shows them: numbered, with the resource they belong to. */
import type { PolicyRow } from '../access.js'

export function policiesJson(policies: readonly PolicyRow[], resource: string): object[] {
  return policies.map((policy, i) => ({ id: String(i + 1), Resource: resource, Action: policy.Action, Subject: policy.Subject, Effect: policy.Effect }))
}

export const allow = (Action: string, Subject: string): PolicyRow => ({ Action, Subject, Effect: 'allow' })
