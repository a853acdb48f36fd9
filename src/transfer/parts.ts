/**
 * How a file is cut into parts. Cells 4.x hashes content in blocks of 10 MiB, each part by
 * itself, so a part must be a multiple of that, or `x-cells-hash` comes out different from
 * everybody else's (cec-reference 7.6, newer-servers 3.4).
 */
import { HASH_BLOCK } from '../cells/digest.js'
import { TransferError } from './types.js'
import type { PartOptions } from './types.js'

export const MIB = 1024 * 1024

export interface PartRules {
  readonly threshold: number
  readonly partSize: number
  readonly maxParts: number
  readonly concurrency: number
}

/**
 * Fills in the defaults of cec: 100 MiB threshold, 50 MiB parts, 5000 of them, 3 at a time.
 * @throws TransferError `usage`
 */
export function partRules(options: PartOptions = {}): PartRules {
  const rules = {
    threshold: options.threshold ?? 100 * MIB,
    partSize: options.partSize ?? 50 * MIB,
    maxParts: options.maxParts ?? 5000,
    concurrency: options.concurrency ?? 3,
  }
  if (!Number.isInteger(rules.partSize) || rules.partSize <= 0 || rules.partSize % HASH_BLOCK !== 0) {
    throw new TransferError('usage', 'PartSize must be a multiple of 10MB')
  }
  if (!Number.isInteger(rules.maxParts) || rules.maxParts < 1) throw new TransferError('usage', 'The maximum number of parts must be at least 1')
  if (!Number.isInteger(rules.concurrency) || rules.concurrency < 1) throw new TransferError('usage', 'The number of parallel parts must be at least 1')
  if (!Number.isInteger(rules.threshold) || rules.threshold < 0) throw new TransferError('usage', 'The multipart threshold must not be negative')
  return rules
}

export interface Part {
  /** From 1, as S3 counts. */
  readonly number: number
  readonly start: number
  readonly size: number
}

/** The part size for a file of `size` bytes: as asked for, or larger so that `maxParts` suffice. */
export function partSizeFor(size: number, rules: PartRules): number {
  if (size / rules.partSize < rules.maxParts) return rules.partSize
  return Math.max(rules.partSize, Math.ceil(Math.ceil(size / rules.maxParts) / HASH_BLOCK) * HASH_BLOCK)
}

export function cutIntoParts(size: number, rules: PartRules): Part[] {
  const partSize = partSizeFor(size, rules)
  const parts: Part[] = []
  for (let start = 0; start < size; start += partSize) {
    parts.push({ number: parts.length + 1, start, size: Math.min(partSize, size - start) })
  }
  return parts
}
