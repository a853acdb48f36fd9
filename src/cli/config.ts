import type { CecCommand } from './command.js'
export const command: CecCommand = { command: 'config', describe: false, builder: (y) => y, handler: () => {} }
