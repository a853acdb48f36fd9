/** Names that follow from a server's URL and a login (cec-reference 1.2, 2.3). */
import { AuthError } from './errors.js'

/**
 * `scheme://host[:port]` of what a person typed: spaces trimmed, path, query and user-info dropped.
 *
 * @throws AuthError `invalid` without an http(s) scheme or a host
 */
export function cleanUrl(text: string): string {
  let url: URL
  try {
    url = new URL(text.trim())
  } catch (cause) {
    throw new AuthError('invalid', `"${hideUserInfo(text)}" is not a URL; it must look like https://files.example.com`, { cause })
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new AuthError('invalid', `"${hideUserInfo(text)}" does not begin with https:// or http://`)
  }
  return `${url.protocol}//${url.host}`
}

/** A typed URL may hold a password; it must not come back in an error. */
const hideUserInfo = (text: string): string => text.trim().replace(/\/\/[^/@]*@/, '//***@')

const portOf = (url: URL): string => (url.port !== '' ? url.port : url.protocol === 'https:' ? '443' : '80')

/** Id of an account: `user@host:port`, port defaulted by scheme. */
export function accountIdOf(url: string, user: string): string {
  const parsed = new URL(url)
  return `${user}@${parsed.hostname}:${portOf(parsed)}`
}

/** Label of an account: `user@host`. */
export const labelOf = (url: string, user: string): string => `${user}@${new URL(url).hostname}`

/** Plain http is fine towards ourselves only. */
export function isLoopback(url: string): boolean {
  const host = new URL(url).hostname
  return host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || /^127(\.\d+){3}$/.test(host)
}
