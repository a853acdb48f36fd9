/** What a person can do when a change cannot be sent, by the kind of the error. One clause, to stand behind the reason. */
import { isCellsError, type CellsErrorKind } from '../cells/errors.js'

const ADVICE: Readonly<Partial<Record<CellsErrorKind, string>>> = {
  quota: 'make room on the server (`cec trash empty` empties a recycle bin), then `cellsfs sync`',
  forbidden: 'ask for the right to write there, or move it to a folder that is yours',
  'login-needed': 'sign in again with `cec config relog`',
  invalid: 'give it another name',
  exists: 'rename one of the two',
  tls: 'see whether the certificate of the server is right',
  network: 'nothing: it is sent when the server can be reached',
  timeout: 'nothing: it is tried again',
  unavailable: 'nothing: it is tried again',
  locked: 'nothing: it is tried again when the job of the server has ended',
  protocol: 'nothing: it is tried again',
}

export function adviceFor(error: unknown): string | undefined {
  return isCellsError(error) ? ADVICE[error.kind] : undefined
}
