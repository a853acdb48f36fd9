#!/usr/bin/env node
import { main } from '../src/cli/cellsfs.js'

// A reader that goes away (`cellsfs status | head -1`) is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1)
})
process.exitCode = await main(process.argv.slice(2))
