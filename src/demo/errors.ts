/** What a REST handler throws to answer with an error; sendError (http.ts) gives it the shape of the served version. */
export class RestError extends Error {
  override readonly name = 'RestError'
  readonly status: number
  readonly detail: string

  constructor(status: number, title: string, detail = title) {
    super(title)
    this.status = status
    this.detail = detail
  }
}

/** Text/plain answers of the front proxy: 401, 415, 404. */
export class PlainError extends Error {
  override readonly name = 'PlainError'
  readonly status: number

  constructor(status: number, text: string) {
    super(text)
    this.status = status
  }
}

/** Trap 10: a real server never answers. The connection is kept open until the peer gives up. */
export class NeverAnswer extends Error {
  override readonly name = 'NeverAnswer'
}

export const unauthorized = (): PlainError => new PlainError(401, 'Unauthorized.\n')

/** The index's gRPC error, text and all (contract, section 9). */
export function nodeNotFound(source: string, path: string, status = 404): RestError {
  const text = `rpc error: code = NotFound desc = ${JSON.stringify({ id: `pydio.grpc.data.index.${source}`, code: 404, detail: `Could not retrieve node ${path}`, status: 'Not Found' })}`
  return new RestError(status, text)
}

export const workspaceForbidden = (slug: string, status: number): RestError =>
  new RestError(status, `Workspace ${slug} is not accessible`, `Forbidden: Workspace ${slug} is not accessible`)

export const forbidden = (status: number, text: string): RestError => new RestError(status, text, `Forbidden: ${text}`)
export const notFound = (status: number, text: string): RestError => new RestError(status, text, `Not Found: ${text}`)
