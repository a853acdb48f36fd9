/** Reading JSON request bodies the way Go's decoder does: wrong types and unknown fields are errors with its words. */
import { RestError } from '../errors.js'

/** Trap 18. @param type name of the message, as the error shows it */
export function onlyFields(body: Record<string, unknown>, known: readonly string[], type: string): void {
  for (const name of Object.keys(body)) if (!known.includes(name)) throw new RestError(500, `unknown field "${name}" in ${type}`)
}

/** 0 when absent. */
export function numberField(body: Record<string, unknown>, name: string): number {
  const value = body[name] ?? 0
  if (typeof value === 'string') throw new RestError(500, 'json: cannot unmarshal string into Go value of type int32')
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) throw new RestError(500, 'json: cannot unmarshal value of type int32')
  return value
}

/** [] when absent. */
export function stringsField(body: Record<string, unknown>, name: string): string[] {
  const value = body[name] ?? []
  if (!Array.isArray(value)) throw new RestError(500, 'json: cannot unmarshal value into Go value of type []json.RawMessage')
  return value.map(each => {
    if (typeof each !== 'string') throw new RestError(500, 'json: cannot unmarshal value into Go value of type string')
    return each
  })
}

/** The text of a field; `fallback` when it is absent or no text. */
export function textField(body: Readonly<Record<string, unknown>>, name: string, fallback = ''): string {
  const value = body[name]
  return typeof value === 'string' ? value : fallback
}

/** The objects of a list field; [] when absent. */
export function objectsField(body: Readonly<Record<string, unknown>>, name: string): Record<string, unknown>[] {
  const value = body[name]
  return Array.isArray(value) ? value.filter((each): each is Record<string, unknown> => typeof each === 'object' && each !== null) : []
}
