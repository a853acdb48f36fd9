/** The thread of block-writer.ts. */
import { answerTasks } from '../thread.js'
import { writeBlock } from './block-file.js'

answerTasks(writeBlock)
