import type { CecCommand } from './command.js'
export const command: CecCommand = { command: 'oauth', describe: false, builder: (y) => y, handler: () => {} }
