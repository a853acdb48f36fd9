/** `cellsfs version`. */
import { VERSION } from '../../version.js'
import { print, type CecCommand } from '../command.js'

export const command: CecCommand = {
  command: 'version',
  describe: 'Show version information',
  builder: (yargs) => yargs,
  handler: () => print(`cellsfs ${VERSION} (Node ${process.version}, ${process.platform} ${process.arch})`),
}
