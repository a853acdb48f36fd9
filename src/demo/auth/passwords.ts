/** Passwords as salted scrypt hashes: `scrypt$<salt>$<hash>`, both base64url. */
import { randomBytes, scrypt, scryptSync, timingSafeEqual } from 'node:crypto'

const KEY_BYTES = 32

export function hashPassword(password: string): string {
  const salt = randomBytes(16)
  return `scrypt$${salt.toString('base64url')}$${scryptSync(password, salt, KEY_BYTES).toString('base64url')}`
}

/** Off the main thread, because a login must not stall everybody else's requests. */
export async function verifyPassword(password: string, stored: string): Promise<boolean> {
  const [scheme, salt, hash] = stored.split('$')
  if (scheme !== 'scrypt' || salt === undefined || hash === undefined) return false
  const expected = Buffer.from(hash, 'base64url')
  const actual = await new Promise<Buffer>((resolve, reject) => {
    scrypt(password, Buffer.from(salt, 'base64url'), expected.length, (error, key) => error ? reject(error) : resolve(key))
  })
  return timingSafeEqual(actual, expected)
}

/** What an unknown login is checked against, so that it takes as long as a known one. */
export const NOBODY_HASH = hashPassword(randomBytes(16).toString('hex'))
