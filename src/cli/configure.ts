import type { CecCommand } from './command.js'
export const command: CecCommand = { command: 'configure', describe: false, builder: (y) => y, handler: () => {} }
