/**
 * An error on its way between threads. A structured clone of it would lose the codes, by which faults.ts tells what went wrong: its own, those of
 * its causes, and those of the attempts behind a connection that failed on several addresses.
 */
export interface PortedError {
  readonly name: string
  readonly message: string
  readonly code?: string
  readonly cause?: PortedError
  readonly errors?: readonly PortedError[]
}

/** Deep enough for what faults.ts looks at. */
const DEEPEST = 4

/** What can be sent. */
export function portError(error: unknown, depth = 0): PortedError {
  if (typeof error !== 'object' || error === null) return { name: 'Error', message: String(error) }
  const { name, message, code, cause, errors } = error as { name?: unknown; message?: unknown; code?: unknown; cause?: unknown; errors?: unknown }
  return {
    name: typeof name === 'string' ? name : 'Error',
    message: typeof message === 'string' ? message : '',
    ...(typeof code === 'string' && { code }),
    ...(depth < DEEPEST && cause !== undefined && { cause: portError(cause, depth + 1) }),
    ...(depth < DEEPEST && Array.isArray(errors) && { errors: errors.map((each) => portError(each, depth + 1)) }),
  }
}

/** The error that was sent. */
export function landedError({ message, cause, errors, ...facts }: PortedError): Error {
  const error = new Error(message, cause === undefined ? undefined : { cause: landedError(cause) })
  return Object.assign(error, facts, errors !== undefined && { errors: errors.map(landedError) })
}
