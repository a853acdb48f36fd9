/** Environment variables of before 2.1 (cec-reference 1.3). Apart, because every command looks at them before anything is loaded. */

const LEGACY = [['URL', 'URL'], ['USER_LOGIN', 'LOGIN'], ['USER_PWD', 'PASSWORD'], ['SKIP_VERIFY', 'SKIP_VERIFY']] as const

/**
 * Names of variables of before 2.1 (`CELLS_CLIENT_TARGET_URL` and so on) become their CEC_* twins, which win
 * when both are set. Done once, when a command starts.
 *
 * @returns sentences about variables that mean nothing any more
 */
export function applyLegacyEnv(env: NodeJS.ProcessEnv): string[] {
  for (const [old, name] of LEGACY) {
    const value = env[`CELLS_CLIENT_TARGET_${old}`]
    if (value !== undefined && value !== '' && (env[`CEC_${name}`] ?? '') === '') env[`CEC_${name}`] = value
  }
  return ['CELLS_CLIENT_TARGET_CLIENT_KEY', 'CELLS_CLIENT_TARGET_CLIENT_SECRET']
    .filter((name) => (env[name] ?? '') !== '')
    .map((name) => `${name} is no longer used`)
}
