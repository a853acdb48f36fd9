import type { CecCommand } from './command.js'
export const command: CecCommand = { command: 'clear', describe: false, builder: (y) => y, handler: () => {} }
