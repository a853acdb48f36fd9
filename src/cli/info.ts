import type { CecCommand } from './command.js'
export const command: CecCommand = { command: 'info', describe: false, builder: (y) => y, handler: () => {} }
