/** `npm run docs`: writes the pages that are made from the code. */
import { writeFile } from 'node:fs/promises'
import { COMPATIBILITY_PAGE, renderCompatibility, rowTests } from '../integration-tests/helpers/compatibility.js'

await writeFile(COMPATIBILITY_PAGE, renderCompatibility(await rowTests()))
process.stdout.write(`${COMPATIBILITY_PAGE}\n`)
