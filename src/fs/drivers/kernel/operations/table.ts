/** All operations, by name. One that is not here is answered with ENOSYS, which the kernel remembers. */
import { attributeOperations } from './attributes.js'
import { fileOperations } from './files.js'
import { folderOperations } from './folders.js'
import { nameOperations } from './names.js'
import type { Operations } from './operation.js'

export const OPERATIONS: Operations = { ...attributeOperations, ...fileOperations, ...folderOperations, ...nameOperations }
