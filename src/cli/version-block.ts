/** What `cec version` prints. Apart from the command, because people and scripts ask for it alone: it has to be there at once. */
import { VERSION } from '../version.js'

const NOT_KNOWN = 'N/A'

/** The words of a template. */
export function versionAttributes(): Record<string, string> {
  return {
    PackageLabel: 'Cells Client',
    Version: VERSION,
    // Known to a compiled program only; kept so that the templates of existing scripts work.
    GitCommit: NOT_KNOWN,
    GitTime: NOT_KNOWN,
    BuildTime: NOT_KNOWN,
    OS: process.platform,
    Arch: process.arch,
    GoVersion: NOT_KNOWN,
    NodeVersion: process.version,
  }
}

/** Lines as the original has them (cec-reference 11.3). */
export function versionBlock(): string {
  const values = versionAttributes()
  return [
    values['PackageLabel'],
    ` Version: \t${values['Version']}`,
    ` Git commit: \t${values['GitCommit']}`,
    ` Timestamp: \t${values['GitTime']}`,
    ` OS/Arch: \t${values['OS']}/${values['Arch']}`,
    ` Node version: \t${values['NodeVersion']}`,
  ].join('\n')
}
