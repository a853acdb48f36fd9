/** Why a store cannot be had. */
export type StoreErrorKind = 'in-use' | 'newer' | 'unusable'

export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly kind: StoreErrorKind

  constructor(kind: StoreErrorKind, message: string, cause?: unknown) {
    super(message, { cause })
    this.kind = kind
  }
}
