/** Writes the manual pages to the folder `man` of this build; `npm run build` runs it. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { manPages } from '../src/cli/man.js'

const folder = fileURLToPath(new URL('../man/', import.meta.url))
await rm(folder, { recursive: true, force: true })
await mkdir(folder, { recursive: true })
for (const { file, text } of await manPages()) await writeFile(folder + file, text)
