/**
 * The rows of a folder as REST pages them (trap 13). Names with a leading dot are never shown, but on a structured
 * source they, and the hidden `.pydio` marker, take up rows of the page; newer servers top a shortened page up from the
 * rows that follow, so that pages overlap. Pure: names in, names out.
 */
export interface Page {
  /** Names to show, in order. */
  readonly names: readonly string[]
  readonly pagination?: Pagination
}

export interface Pagination {
  Limit: number
  CurrentOffset?: number
  Total: number
  CurrentPage: number
  TotalPages: number
  PrevOffset?: number
  NextOffset?: number
}

/**
 * @param names all children in order, dot-names included, the marker not
 * @param limit 0 = everything
 */
export function pageOf(names: readonly string[], offset: number, limit: number, flat: boolean): Page {
  const rows = flat ? names : withMarker(names)
  const shown = (name: string): boolean => !name.startsWith('.')
  if (limit <= 0) return { names: rows.slice(offset).filter(shown) }
  const total = names.length
  let page = rows.slice(offset, offset + limit)
  const visible = page.filter(shown)
  if (flat && visible.length < page.length) page = [...visible, ...rows.slice(offset + limit, offset + limit + page.length - visible.length).filter(shown)]
  else page = visible
  if (limit > total) return { names: page }
  const pagination: Pagination = { Limit: limit, Total: total, CurrentPage: Math.floor(offset / limit) + 1, TotalPages: Math.ceil(total / limit) }
  if (offset > 0) pagination.CurrentOffset = offset
  if (offset - limit > 0) pagination.PrevOffset = offset - limit
  if (offset + limit < total) pagination.NextOffset = offset + limit
  return { names: page, pagination }
}

/** The marker sorts like any other name. */
function withMarker(names: readonly string[]): string[] {
  const at = names.findIndex(name => name > '.pydio')
  return at < 0 ? [...names, '.pydio'] : [...names.slice(0, at), '.pydio', ...names.slice(at)]
}
