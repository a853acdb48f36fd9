/** `npm run demo`: set-up, then `cellsfs demo` in this very process, so that signals reach it directly. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ROOT, setUp } from './setup.mjs'

setUp()
const program = join(ROOT, 'dist/bin/cellsfs.js')
process.argv.splice(1, 1, program, 'demo')
await import(pathToFileURL(program).href)
