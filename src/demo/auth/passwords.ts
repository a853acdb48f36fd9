/** Passwords as salted scrypt hashes: `scrypt$<salt>$<hash>$<cost>`, the first two base64url, the cost as scrypt's N. */
import { randomBytes, scrypt, scryptSync, timingSafeEqual } from 'node:crypto'

const KEY_BYTES = 32
/** Low: this server's passwords are in its README, it listens on loopback, and the tests start it hundreds of times. */
const COST = 1_024
/** Of hashes that do not say: of an earlier demo's folder. */
const FORMER_COST = 16_384

export function hashPassword(password: string): string {
  const salt = randomBytes(16)
  return `scrypt$${salt.toString('base64url')}$${scryptSync(password, salt, KEY_BYTES, { N: COST }).toString('base64url')}$${COST}`
}

/** Off the main thread, because a login must not stall everybody else's requests. */
export async function verifyPassword(password: string, stored: string): Promise<boolean> {
  const [scheme, salt, hash, cost] = stored.split('$')
  if (scheme !== 'scrypt' || salt === undefined || hash === undefined) return false
  const expected = Buffer.from(hash, 'base64url')
  const N = cost === undefined ? FORMER_COST : Number(cost)
  const actual = await new Promise<Buffer>((resolve, reject) => {
    scrypt(password, Buffer.from(salt, 'base64url'), expected.length, { N }, (error, key) => error ? reject(error) : resolve(key))
  })
  return timingSafeEqual(actual, expected)
}

/** What an unknown login is checked against, so that it takes as long as a known one. */
export const NOBODY_HASH = hashPassword(randomBytes(16).toString('hex'))
